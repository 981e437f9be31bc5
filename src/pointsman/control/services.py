"""Services: where they are, stopped and started.  Edge."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pointsman.cluster import Role
from pointsman.control import bodies, responses, results
from pointsman.control import parameters as p
from pointsman.control.routes import Route
from pointsman.errors import Refused

if TYPE_CHECKING:
    from webob import Response

    from pointsman.control.call import Call
    from pointsman.node import Node


def documents_of(node: Node) -> list[dict[str, Any]]:
    """Return what each service is, where it is mounted, and what it is doing."""
    found = [
        {
            "name": one.mount.service,
            "path": one.mount.path or "/",
            "package": version.loaded.package.name,
            "digest": version.loaded.package.artifact.digest,
            "origin": one.mount.origin,
            "state": "stopped" if one.mount.service in node.stopped else "running",
            "in_flight": len(version.pins),
        }
        for version in node.traffic.versions.values()
        for one in version.loaded.services
    ]
    return sorted(found, key=lambda entry: str(entry["path"]))


def listing(call: Call) -> Response:
    """Return the services that this node serves."""
    return responses.of_json({"services": documents_of(call.node)})


def stop(call: Call) -> Response:
    """Stop a service: new requests get 503, those that run go on."""
    return _change(call, [call.path["name"]], stop=True)


def start(call: Call) -> Response:
    """Start a stopped service again."""
    return _change(call, [call.path["name"]], stop=False)


def stop_several(call: Call) -> Response:
    """Stop several services as one generation."""
    return _change(call, _named(call), stop=True)


def start_several(call: Call) -> Response:
    """Start several services as one generation."""
    return _change(call, _named(call), stop=False)


def _named(call: Call) -> list[str]:
    body = bodies.json_object(call.request, {"services": list})
    names = body.get("services", [])
    if not names or not all(isinstance(name, str) for name in names):
        detail = 'say which services: {"services": ["crm.customer"]}'
        raise Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail)
    return list(names)


def _change(call: Call, names: list[str], *, stop: bool) -> Response:
    owners = {one["name"]: one["package"] for one in documents_of(call.node)}
    # A service that is not there now has no owner that a token could be bound to.
    call.who.may_change(owners.get(name, name) for name in names)
    deployments = call.node.deployments
    change = deployments.stop_services if stop else deployments.start_services
    proposed = change(
        names,
        call.actor,
        owners,
        note=call.query["note"],
        if_match=call.if_match(),
    )
    return results.answer(call, proposed)


_DONE = {200: "Deployment", 202: "Deployment"}
_CHANGE = (400, 404, 409, 412, 422, 423, 503, 504)
_BASE = "/api/v1/services"

ROUTES = (
    Route("GET", _BASE, Role.VIEWER, listing, {200: "Services"}),
    *(
        Route(
            "POST",
            f"{_BASE}/{{name}}/{word}",
            Role.DEPLOYER,
            one,
            _DONE,
            _CHANGE,
            (p.WAIT, p.NOTE),
        )
        for word, one in (("stop", stop), ("start", start))
    ),
    *(
        Route(
            "POST",
            f"{_BASE}/{word}",
            Role.DEPLOYER,
            several,
            _DONE,
            (*_CHANGE, 413),
            (p.WAIT, p.NOTE),
            "ServicesWanted",
        )
        for word, several in (("stop", stop_several), ("start", start_several))
    ),
)
