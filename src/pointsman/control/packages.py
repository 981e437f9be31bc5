"""Packages deployed, undeployed and rolled back.  Edge."""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import TYPE_CHECKING

from multipart import parse_options_header

from pointsman.cluster import Role
from pointsman.control import bodies, documents, multiparts, responses, results
from pointsman.control import parameters as p
from pointsman.control.routes import Field, Route, value
from pointsman.errors import Refused
from pointsman.outlook import require_once

if TYPE_CHECKING:
    from collections.abc import Iterator

    from webob import Response

    from pointsman.cluster import Entry
    from pointsman.control.call import Call

# As `model.Artifact` takes it.
PACKAGE = r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}"


def put(call: Call) -> Response:
    """Deploy one package; the body is its artifact."""
    name = call.path["name"]
    if not re.fullmatch(PACKAGE, name):
        detail = (
            f"{name[:80]!a} cannot be the name of a package: it has letters, digits, "
            "'_', '.' and '-' only, at most 200 of them"
        )
        raise Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail)
    call.who.may_change([name])
    if_match = call.if_match()
    file = call.query["file"] or _disposition(call)
    limit = call.node.settings.upload_limit
    entry = _received(call, file, bodies.chunks(call.request, limit), name)
    if not entry.size:  # a body was forgotten: as a module it would serve nothing
        detail = f"the body is empty; send the artifact of {name} as the body"
        raise Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail)
    proposed = call.node.deployments.deploy(
        [entry], call.actor, note=call.query["note"], if_match=if_match
    )
    return results.answer(call, proposed)


def _disposition(call: Call) -> str:
    header = call.request.environ.get("HTTP_CONTENT_DISPOSITION", "")
    _, options = parse_options_header(header)
    name: str = options.get("filename", "")
    return name


def _received(call: Call, file: str, chunks: Iterator[bytes], package: str) -> Entry:
    try:
        entry = call.node.deployments.receive(file, chunks, package=package)
    except Exception:
        call.figures.uploaded("refused")
        raise
    call.figures.uploaded("accepted", entry.size)
    return entry


def post(call: Call) -> Response:
    """Deploy several packages as one generation, all or nothing."""
    if_match = call.if_match()
    entries, remove, note = _form(call)
    call.who.may_change([*(entry.package for entry in entries), *remove])
    if call.query["dry_run"]:
        return responses.of_json(
            documents.plan(call.node.deployments.plan(entries, remove))
        )
    proposed = call.node.deployments.deploy(
        entries,
        call.actor,
        note=note or call.query["note"],
        if_match=if_match,
        remove=remove,
    )
    return results.answer(call, proposed)


def plan(call: Call) -> Response:
    """Tell what deploying several packages would change."""
    entries, remove, _ = _form(call)
    call.who.may_change([*(entry.package for entry in entries), *remove])
    return responses.of_json(
        documents.plan(call.node.deployments.plan(entries, remove))
    )


def _form(call: Call) -> tuple[list[Entry], list[str], str]:
    """Take in all parts; nothing is proposed yet."""
    entries: dict[str, Entry] = {}
    remove: list[str] = []
    note = ""
    # Checked before a byte is read: this is cheap, and the client hears of it soon.
    content_type = call.request.environ.get("CONTENT_TYPE", "")
    multiparts.boundary(content_type)
    chunks = bodies.chunks(call.request, 0)
    for part in multiparts.parts(content_type, chunks):
        if isinstance(part, multiparts.File):
            entry = _received(call, part.file, part.chunks, "")
            require_once([*entries, *remove, entry.package])
            entries[entry.package] = entry
        elif part.name == "remove":
            require_once([*entries, *remove, part.value])
            remove.append(part.value)
        elif part.name == "note":
            note = value(p.NOTE, part.value)
        else:
            raise _no_field(part.name)
    if not entries and not remove:
        raise Refused(HTTPStatus.BAD_REQUEST, "Bad Request", "the form has no file")
    return list(entries.values()), remove, note


def _no_field(name: str) -> Refused:
    detail = (
        f"there is no field {name[:80]!a}; parts with a file name are artifacts, "
        "and there are the fields remove and note"
    )
    return Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail)


# TAKING AWAY AND BACK


def delete(call: Call) -> Response:
    """Undeploy one package."""
    return _undeploy(call, [call.path["name"]])


def delete_several(call: Call) -> Response:
    """Undeploy several packages as one generation."""
    names = call.query["name"]
    if not names:
        detail = "say which: ?name=crm&name=shop"
        raise Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail)
    return _undeploy(call, names)


def _undeploy(call: Call, names: list[str]) -> Response:
    deployments, cascade = call.node.deployments, call.query["cascade"]
    call.who.may_change(names)
    if cascade:
        call.who.may_change(deployments.importers(names))
    proposed = deployments.undeploy(
        names,
        call.actor,
        cascade=cascade,
        note=call.query["note"],
        if_match=call.if_match(),
    )
    return results.answer(call, proposed)


def rollback(call: Call) -> Response:
    """Let a package be again what it was."""
    name = call.path["name"]
    call.who.may_change([name])
    body = bodies.json_object(call.request, {"to": (int, str, type(None)), "note": str})
    proposed = call.node.deployments.rollback(
        name,
        call.actor,
        to=body.get("to"),
        note=body.get("note", "") or call.query["note"],
        if_match=call.if_match(),
    )
    return results.answer(call, proposed)


_BASE, _ONE = "/api/v1/packages", "/api/v1/packages/{name}"
_DONE = {200: "Deployment", 202: "Deployment"}
_CHANGE = (400, 404, 409, 412, 422, 423, 503, 504)
_ARRIVAL = (*_CHANGE, 411, 413, 415, 507)
_NAMES = Field("name", "text", "a package; may be repeated", repeated=True)

ROUTES = (
    Route(
        "POST",
        _BASE,
        Role.DEPLOYER,
        post,
        {200: "DeploymentOrPlan", 202: "Deployment"},
        _ARRIVAL,
        (p.WAIT, p.NOTE, p.DRY_RUN),
        "files",
    ),
    Route(
        "DELETE",
        _BASE,
        Role.DEPLOYER,
        delete_several,
        _DONE,
        _CHANGE,
        (_NAMES, p.WAIT, p.NOTE, p.CASCADE),
    ),
    Route(
        "PUT",
        _ONE,
        Role.DEPLOYER,
        put,
        _DONE,
        _ARRIVAL,
        (p.WAIT, p.NOTE, p.FILE),
        "artifact",
    ),
    Route(
        "DELETE",
        _ONE,
        Role.DEPLOYER,
        delete,
        _DONE,
        _CHANGE,
        (p.WAIT, p.NOTE, p.CASCADE),
    ),
    Route(
        "POST",
        f"{_ONE}/rollback",
        Role.DEPLOYER,
        rollback,
        _DONE,
        (*_CHANGE, 413),
        (p.WAIT, p.NOTE),
        "Rollback",
    ),
    Route(
        "POST",
        "/api/v1/plan",
        Role.DEPLOYER,
        plan,
        {200: "Plan"},
        (400, 404, 411, 413, 415, 422, 503, 507),
        (),
        "files",
    ),
)
