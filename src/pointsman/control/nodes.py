"""Nodes: who there is, and what is asked of them.  Edge."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pointsman.cluster import NodeState, Role
from pointsman.control import bodies, documents, responses
from pointsman.control import parameters as p
from pointsman.control.routes import Field, Route
from pointsman.directories import DirectoryReport
from pointsman.errors import LedgerError, Refused
from pointsman.reporting import told_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from webob import Response

    from pointsman.cluster import Actor, NodeRecord
    from pointsman.control.call import Call
    from pointsman.model import Report

_PAUSE = 0.01  # seconds between two looks at the ledger
_ANSWER = 10.0  # seconds that a node may take to answer


def listing(call: Call) -> Response:
    """Return the nodes: host, pid, release, Python, state, generation, lease."""
    ledger = call.node.ledger
    now = ledger.observe("").now
    found = [documents.node(each, now) for each in ledger.nodes()]
    if call.query["leaks"]:
        alive = [each["node"] for each in found if each["alive"]]
        told = _ask(call, alive, "leaks")
        for each in found:
            each["leaks"] = told.get(each["node"], {}).get("leaks")
    return responses.of_json({"nodes": found})


def threads(call: Call) -> Response:
    """Return every thread of a node, with the service that it works for."""
    node = call.path["node"]
    told = _ask(call, [node], "threads").get(node)
    if told is None:
        detail = (
            f"{node[:200]!a} has not answered within {_ANSWER:g} s; look at its "
            "process with py-spy"
        )
        raise Refused(HTTPStatus.GATEWAY_TIMEOUT, "Gateway Timeout", detail)
    return responses.of_json({"node": node, **told})


def drain(call: Call) -> Response:
    """Let a node be not ready and vote no more; it serves those who still come."""
    return _moved(call, call.node.ledger.drain)


def resume(call: Call) -> Response:
    """Let a drained node take requests and vote again."""
    return _moved(call, call.node.ledger.resume)


def _moved(call: Call, move: Callable[[str, Actor], bool]) -> Response:
    call.who.may_change_all()
    name = call.path["node"]
    changed = move(name, call.actor)
    call.node.wake()
    ledger = call.node.ledger
    now = ledger.observe("").now
    found = [documents.node(each, now) for each in ledger.nodes() if each.id == name]
    if not found:  # it ended in this moment
        raise Refused(HTTPStatus.NOT_FOUND, "Not Found", f"there is no node {name!a}")
    return responses.of_json({**found[0], "changed": changed})


def _ask(call: Call, nodes: Iterable[str], what: str) -> dict[str, dict[str, Any]]:
    """Put a question to nodes; return the answers that came in time."""
    ledger = call.node.ledger
    asked = {node: ledger.ask(node, what) for node in nodes}
    call.node.wake()
    told: dict[str, dict[str, Any]] = {}

    def all_told() -> bool:
        for node in asked.keys() - told.keys():
            question = ledger.question(asked[node])
            if question is not None and question.answer is not None:
                told[node] = dict(question.answer)
        return len(told) == len(asked)

    _wait_for(all_told, _ANSWER)
    return told


def _wait_for(condition: Callable[[], bool], seconds: float) -> None:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(_PAUSE)


def leaks(call: Call) -> Response:
    """Return the ended versions that this node still has in memory, and why."""
    found = call.node.leaks(collect=call.query["collect"])
    return responses.of_json({"leaks": [dataclasses.asdict(leak) for leak in found]})


# RELOAD


def reload(call: Call) -> Response:
    """Let every node read its sources again; return what this one did, and each."""
    call.who.may_change_all()
    body = bodies.json_object(call.request, {"confirm_removals": bool})
    confirm = body.get("confirm_removals", False)
    node = call.node
    report = node.reload(call.actor, confirm_removals=confirm)
    found = _reloaded(call, report)
    late = [each["node"] for each in found if each["reload"] is None]
    document = {**documents.report(report), "nodes": found, "late": late}
    failed = _failures(call, report, found)
    if failed:
        detail = f"not all was loaded, and goes on as it was: {', '.join(failed)}"
        status = HTTPStatus.UNPROCESSABLE_ENTITY
        return responses.of_problem(status, detail, **document)
    return responses.of_json(document)


def _failures(call: Call, report: Report, nodes: list[dict[str, Any]]) -> list[str]:
    """Return what failed here by its name, and the other nodes where anything did."""
    failed = [o.package for o in report.outcomes if o.status == "failed"]
    failed += [problem.where for problem in report.problems]
    failed += [
        str(each.path)
        for each in report.directories
        if isinstance(each, DirectoryReport) and each.failed
    ]
    for each in nodes:
        if each["reload"] and each["reload"]["failed"] and each["node"] != call.node.id:
            failed.append(f"node {each['node']}")
    return failed


def _reloaded(call: Call, report: Report) -> list[dict[str, Any]]:
    """Return what each node did; None for those that have not answered in time."""
    own, request = call.node.id, report.request
    told: dict[str, Any] = {own: told_of(report)}
    nodes: list[NodeRecord] = []

    def all_told() -> bool:
        nodes[:] = _alive(call)
        for each in nodes:
            answer = each.report.get("reload")
            if isinstance(answer, dict) and int(answer.get("number", 0)) >= request:
                told.setdefault(each.id, answer)
        return all(each.id in told for each in nodes)

    if request:
        # When the ledger fails now, the others are not known, and this one is done.
        with contextlib.suppress(LedgerError):
            _wait_for(all_told, call.query["wait"])
    names = dict.fromkeys([own, *(each.id for each in nodes)])
    return [{"node": name, "reload": told.get(name)} for name in names]


def _alive(call: Call) -> list[NodeRecord]:
    now = call.node.ledger.observe("").now
    return [
        each
        for each in call.node.ledger.nodes()
        if each.serves and each.lease_until > now and each.state != NodeState.DRAINING
    ]


_LEAKS = Field(
    "leaks",
    "boolean",
    "ask each node what it has in memory of ended versions",
    default=False,
)
_COLLECT = Field(
    "collect",
    "boolean",
    "let the garbage collector run first, while all wait",
    default=False,
)

ROUTES = (
    Route(
        "GET",
        "/api/v1/nodes",
        Role.VIEWER,
        listing,
        {200: "Nodes"},
        (400, 503),
        (_LEAKS,),
    ),
    Route(
        "GET",
        "/api/v1/nodes/{node}/threads",
        Role.VIEWER,
        threads,
        {200: "Threads"},
        (404, 503, 504),
    ),
    *(
        Route(
            "POST",
            f"/api/v1/nodes/{{node}}/{word}",
            Role.DEPLOYER,
            move,
            {200: "MovedNode"},
            (404, 503),
        )
        for word, move in (("drain", drain), ("resume", resume))
    ),
    Route(
        "GET", "/api/v1/leaks", Role.VIEWER, leaks, {200: "Leaks"}, (400,), (_COLLECT,)
    ),
    Route(
        "POST",
        "/api/v1/reload",
        Role.DEPLOYER,
        reload,
        {200: "Reload"},
        (400, 413, 422, 503),
        (p.PATIENCE,),
        "ReloadWanted",
    ),
)
