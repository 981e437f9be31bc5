"""The answer to a change: what really became of it.  Edge."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pointsman.cluster import State
from pointsman.control import documents, responses
from pointsman.control.preconditions import etag

if TYPE_CHECKING:
    from webob import Response

    from pointsman.cluster import Generation, Proposed
    from pointsman.control.call import Call
    from pointsman.verdicts import Result


def answer(call: Call, proposed: Proposed) -> Response:
    """Wait as long as the client wants, and tell what became of a proposal.

    Blocks for the seconds of ``wait``; with 0 the answer is 202 at once.
    """
    deployments, wait = call.node.deployments, call.query["wait"]
    if wait == 0:
        found = deployments.generation(proposed.number)
        over = proposed.unchanged and found.state is State.ACTIVE
        document = {
            **documents.generation(found),
            "unchanged": proposed.unchanged,
            "timed_out": False,
            "late": [],
        }
        return _told(call, found, document, 200 if over else 202)
    result = deployments.decide(proposed, wait)
    found = result.generation
    document = documents.deployment(result)
    call.figures.deployed(_outcome(result))
    if found.state in (State.ACTIVE, State.RETIRED):
        return _told(call, found, document, HTTPStatus.OK)
    status, detail = _refusal(result, wait)
    document["failures"] = documents.failures(found)
    response = responses.of_problem(status, detail, **document)
    response.headers["Location"] = _location(call, found)
    return response


def _told(
    call: Call, found: Generation, document: dict[str, Any], status: int
) -> Response:
    response = responses.of_json(document, status)
    response.headers["Location"] = _location(call, found)
    if found.state is State.ACTIVE:
        response.headers["ETag"] = etag(found.number)
    return response


def _location(call: Call, found: Generation) -> str:
    return f"{call.request.script_name}/api/v1/generations/{found.number}"


def _outcome(result: Result) -> str:
    state = result.generation.state
    if result.timed_out:
        return "timed out"
    if result.unchanged and state is not State.FAILED:
        return "unchanged"
    return "failed" if state is State.FAILED else "active"


def _refusal(result: Result, wait: float) -> tuple[HTTPStatus, str]:
    """Return how a generation that is not active is told."""
    found = result.generation
    if found.state is not State.FAILED:
        detail = (
            f"generation {found.number}, which somebody else has proposed, has all of "
            f"this, and was not decided within {wait:g} s; look at it again"
        )
        return HTTPStatus.GATEWAY_TIMEOUT, detail
    detail = f"generation {found.number} failed: {found.reason or 'no reason given'}"
    if result.timed_out:
        return HTTPStatus.GATEWAY_TIMEOUT, detail
    if any(vote.loaded is False for vote in found.votes):
        return HTTPStatus.UNPROCESSABLE_ENTITY, detail
    if found.staged_at is None:  # never tried: what it is based on has changed
        return HTTPStatus.CONFLICT, detail
    return HTTPStatus.GATEWAY_TIMEOUT, detail
