"""What packages there are: active, static and shadowed ones.  Edge."""

from __future__ import annotations

import base64
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from webob import Response
from webob.static import FileIter

from pointsman.cluster import Role
from pointsman.control import documents, responses
from pointsman.control.preconditions import etag
from pointsman.control.routes import Route
from pointsman.errors import Refused

if TYPE_CHECKING:
    from pointsman.cluster import Contents
    from pointsman.control.call import Call
    from pointsman.model import Package

_BYTES = "application/octet-stream"


def listing(call: Call) -> Response:
    """Return all packages: those of the active generation, and static ones."""
    active = call.node.deployments.active()
    last = call.node.last
    document = {
        "generation": active.number,
        "packages": _packages(call, active),
        "reload": documents.report(last) if last else None,
    }
    return responses.of_json(document, ETag=etag(active.number))


def one(call: Call) -> Response:
    """Return one package."""
    active = call.node.deployments.active()
    name = call.path["name"]
    found = [each for each in _packages(call, active) if each["package"] == name]
    if not found:
        raise _no_package(name)
    return responses.of_json(found[0], ETag=etag(active.number))


def artifact(call: Call) -> Response:
    """Return the file that a package of the active generation came in."""
    entry = call.node.deployments.active().entries.get(call.path["name"])
    if entry is None:
        raise _no_package(call.path["name"])
    digest = base64.b64encode(bytes.fromhex(entry.digest)).decode()
    file = call.node.artifacts.path(entry.digest).open("rb")
    response = Response(app_iter=FileIter(file), content_type=_BYTES)
    response.content_length = entry.size
    response.headers["Content-Disposition"] = f'attachment; filename="{entry.file}"'
    response.headers["Content-Digest"] = f"sha-256=:{digest}:"
    response.headers["ETag"] = f'"{entry.digest}"'
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


def _no_package(name: str) -> Refused:
    detail = f"there is no package {name[:200]!a} in the active generation"
    return Refused(HTTPStatus.NOT_FOUND, "Not Found", detail)


def _packages(call: Call, active: Contents) -> list[dict[str, Any]]:
    """Return the active ones, then the static ones, each by name."""
    node = call.node
    found = [
        {**(documents.entry(entry) or {}), "status": "active", "services": []}
        for _, entry in sorted(active.entries.items())
    ]
    names = {each["package"]: each for each in found}
    for name, version in sorted(node.traffic.versions.items()):
        services = [service.mount.service for service in version.loaded.services]
        package = version.loaded.package
        if name not in names:
            names[name] = _static(package, "static")
            found.append(names[name])
        names[name]["services"] = services
    hidden = (p for p in node.local.static.packages if p.name in node.shadowed)
    return found + [_static(package, "shadowed") for package in hidden]


def _static(package: Package, status: str) -> dict[str, Any]:
    artifact = package.artifact
    return {
        "package": package.name,
        "digest": artifact.digest,
        "kind": str(artifact.kind),
        "file": artifact.origin,
        "source": package.source or artifact.origin,
        "version": "",
        "size": sum(map(len, artifact.files.values())),
        "services": [],
        "status": status,
    }


_BASE, _ONE = "/api/v1/packages", "/api/v1/packages/{name}"

ROUTES = (
    Route("GET", _BASE, Role.VIEWER, listing, {200: "Packages"}, (503,)),
    Route("GET", _ONE, Role.VIEWER, one, {200: "Package"}, (404, 503)),
    Route(
        "GET", f"{_ONE}/artifact", Role.VIEWER, artifact, {200: "Artifact"}, (404, 503)
    ),
)
