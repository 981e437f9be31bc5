"""What a node says of itself: to probes, to the other nodes, to its log.  Engine."""

from __future__ import annotations

import logging
import threading
from dataclasses import asdict
from typing import TYPE_CHECKING

from pointsman import threads
from pointsman.errors import LedgerError

if TYPE_CHECKING:
    from pointsman.cluster import Question
    from pointsman.model import Outcome, Problem, Report
    from pointsman.node import Node
    from pointsman.retirement import Retired

_log = logging.getLogger("pointsman.node")


def readiness(node: Node) -> tuple[bool, dict[str, object]]:
    """Tell whether requests should come to a node, and why not."""
    status = _status(node)
    detail: dict[str, object] = {"status": status, "generation": node.generation}
    if node.cut_off:
        detail["ledger"] = node.cut_off
    if node.behind:
        detail["reason"] = node.behind
    return status == "ready", detail


def _status(node: Node) -> str:
    if node.draining:
        return "draining"
    if node.behind:
        return "behind"
    return "starting" if node.last is None else "ready"


def report(node: Node) -> dict[str, object]:
    """Return what the other nodes shall know; it becomes JSON."""
    lingering = [one for one in node.retirement.waiting() if one.lingering]
    problems = node.last.problems if node.last else ()
    return {
        "in_flight": node.in_flight(),
        "lingering": [_lingering(one) for one in lingering],
        "stuck": list(node.stuck),
        "shadowed": list(node.shadowed),
        "leaks": node.leak_count(),
        "directories": list(node.directories()),
        "problems": [asdict(problem) for problem in problems],
        "reload": told_of(node.last) if node.last else {},
    }


def _lingering(one: Retired) -> dict[str, object]:
    requests = [
        {"path": path, "seconds": round(age, 1)}
        for path, age in one.version.in_flight()
    ]
    digest = one.version.loaded.package.artifact.digest
    return {"package": one.name, "digest": digest, "requests": requests}


def answer(node: Node, question: Question) -> None:
    """Answer a question that came by way of the ledger; does not block."""
    threading.Thread(
        target=_answer, args=(node, question), name="pointsman-answer", daemon=True
    ).start()


def _answer(node: Node, question: Question) -> None:
    try:
        node.ledger.answer(question.id, _answered(node, question.what))
    except LedgerError as error:
        _log.warning("a question stays without an answer: %s", error)


def _answered(node: Node, what: str) -> dict[str, object]:
    if what == "threads":
        return {"threads": threads.stacks()}
    if what == "imports":
        known = node.imports().items()
        return {"imports": {name: sorted(found) for name, found in known}}
    if what in {"leaks", "leaks collect"}:
        found = node.leaks(collect=what != "leaks")
        return {"leaks": [asdict(leak) for leak in found]}
    return {"error": f"this release knows nothing of {what!r}"}


def told_of(report: Report) -> dict[str, object]:
    """Return what the other nodes hear of a reload."""
    silent = {"unchanged", "host"}
    if report.is_start or not report.request:  # all was added, or it is of this alone
        silent |= {"added", "updated", "removed"}
    changed = [o for o in report.outcomes if o.status not in silent]
    return {
        "number": report.request,
        "failed": report.failed,
        "packages": [asdict(outcome) for outcome in changed],
        "problems": [asdict(problem) for problem in report.problems],
    }


def _told(problem: Problem) -> str:
    return f"{problem.where}: {problem.reason}"


def log(report: Report, before: int) -> None:
    """Log each change of state; ``before`` is how often it had switched."""
    for problem in report.problems:
        _log.error("%s", _told(problem))
    for outcome in report.outcomes:
        _log_outcome(outcome)
    if report.switches != before:
        _log.info(
            "serves, after %.1f ms, with generation %d of the ledger",
            report.duration_ms,
            report.generation,
        )


def _log_outcome(outcome: Outcome) -> None:
    if outcome.status == "failed":
        _log.error(
            "%s failed: %s\n%s", outcome.package, outcome.reason, outcome.traceback
        )
    elif outcome.status not in ("unchanged", "host"):
        reason = f": {outcome.reason}" if outcome.reason else ""
        _log.info("%s %s%s", outcome.package, outcome.status, reason)
