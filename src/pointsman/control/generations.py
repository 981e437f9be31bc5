"""Generations: history, differences, and going back to a whole one.  Edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.cluster import Role
from pointsman.control import bodies, documents, responses, results
from pointsman.control import parameters as p
from pointsman.control.routes import Route

if TYPE_CHECKING:
    from webob import Response

    from pointsman.control.call import Call


def listing(call: Call) -> Response:
    """Return the generations, the newest first, without votes."""
    found = call.node.ledger.generations(
        limit=call.query["limit"], before=call.query["before"]
    )
    return responses.of_json({"generations": [documents.generation(g) for g in found]})


def one(call: Call) -> Response:
    """Return one generation, with votes and timings."""
    found = call.node.deployments.generation(call.number)
    document = documents.generation(found)
    contents = call.node.ledger.contents(found.number)
    document["packages"] = None
    document["stopped"] = None
    if contents is not None:
        document["packages"] = [
            documents.entry(entry) for _, entry in sorted(contents.entries.items())
        ]
        document["stopped"] = sorted(contents.stopped)
    return responses.of_json(document)


def diff(call: Call) -> Response:
    """Return what a generation changed of the one before it, line by line."""
    found = call.node.deployments.diff(call.number)
    return responses.of_json(
        {
            "generation": call.number,
            "packages": [documents.difference(each) for each in found],
        }
    )


def rollback(call: Call) -> Response:
    """Go back to the whole of a generation, stopped services too."""
    call.who.may_change_all()
    body = bodies.json_object(call.request, {"note": str})
    proposed = call.node.deployments.rollback_to(
        call.number,
        call.actor,
        note=body.get("note", "") or call.query["note"],
        if_match=call.if_match(),
    )
    return results.answer(call, proposed)


_BASE, _ONE = "/api/v1/generations", "/api/v1/generations/{number}"

ROUTES = (
    Route(
        "GET",
        _BASE,
        Role.VIEWER,
        listing,
        {200: "Generations"},
        (400, 503),
        (p.limit(50, 1000), p.BEFORE),
    ),
    Route("GET", _ONE, Role.VIEWER, one, {200: "Generation"}, (404, 503)),
    Route(
        "GET", f"{_ONE}/diff", Role.VIEWER, diff, {200: "Differences"}, (404, 422, 503)
    ),
    Route(
        "POST",
        f"{_ONE}/rollback",
        Role.DEPLOYER,
        rollback,
        {200: "Deployment", 202: "Deployment"},
        (400, 404, 409, 412, 413, 422, 423, 503, 504),
        (p.WAIT, p.NOTE),
        "Note",
    ),
)
