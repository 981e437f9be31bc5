"""Printing what became of a change that was asked for.  Effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.cli import tables

if TYPE_CHECKING:
    from collections.abc import Mapping

_SERVED = frozenset({"active", "retired"})


def is_refused(verdict: Mapping[str, Any]) -> bool:
    """Tell whether it was not done, and will not be."""
    return bool(verdict["timed_out"]) or verdict["state"] == "failed"


def print_verdict(verdict: Mapping[str, Any]) -> None:
    """Print what changed, then how it ended, with the traceback where it failed."""
    if not verdict["unchanged"] and not is_refused(verdict):
        print_changes(verdict)
    if is_refused(verdict):
        print_failures(verdict)
    tables.say(sentence(verdict), "bold red" if is_refused(verdict) else "")
    for node in verdict["late"]:
        tables.say(f"{node} has not switched to it yet", "yellow")


def sentence(verdict: Mapping[str, Any]) -> str:
    """Return how it ended."""
    number, state = verdict["generation"], verdict["state"]
    if verdict["unchanged"] and not verdict["timed_out"]:
        return f"nothing to do: {_name(number)} has all of it already ({state})"
    if state in _SERVED and not verdict.get("served", True):
        later = "; no node serves it before the next start"
        return f"generation {number} is active{_after(verdict)}{later}"
    if state in _SERVED:
        return f"generation {number} is active{_on(verdict)}{_after(verdict)}"
    if state == "failed":
        return f"generation {number} failed, and nothing changed: {verdict['reason']}"
    if verdict["timed_out"]:
        return f"generation {number} is {state} still; pointsman show {number} tells"
    return f"generation {number} is {state}; pointsman show {number} tells its end"


def _name(number: int) -> str:
    return f"generation {number}" if number else "the service list"


def _on(verdict: Mapping[str, Any]) -> str:
    switched = sum(vote["switched_at"] is not None for vote in verdict["votes"])
    return f" on {switched} node{'s' * (switched != 1)}" if switched else ""


def _after(verdict: Mapping[str, Any]) -> str:
    took = milliseconds_of(verdict)
    return "" if took is None else f", after {tables.milliseconds(took)}"


def milliseconds_of(generation: Mapping[str, Any]) -> float | None:
    """Return how long it took from the proposal to the last switch."""
    parts = ("queued_ms", "staging_ms", "switching_ms")
    times = [generation["timings"][part] for part in parts]
    known = [one for one in times if one is not None]
    return sum(known) if known else None


def print_changes(generation: Mapping[str, Any]) -> None:
    """Print what a generation does to each package and service, or would have done."""
    done = "" if generation["state"] in _SERVED else "to be "
    table = tables.table("", "", "", "")
    for change in generation["changes"]:
        entry = change["entry"]
        word = done + ("removed" if entry is None else "deployed")
        cells = ("", "") if entry is None else (_artifact(entry), entry["file"])
        table.add_row(tables.text(change["package"]), word, *map(tables.text, cells))
    for word, names in (("stop", "stopped"), ("start", "started")):
        for name in generation[word]:
            table.add_row(tables.text(name), done + names, "", "")
    if table.row_count:
        table.show_header = False
        tables.show(table)


def _artifact(entry: Mapping[str, Any]) -> str:
    return " ".join(filter(None, (entry["version"], tables.short(entry["digest"]))))


def print_failures(generation: Mapping[str, Any]) -> None:
    """Print why nodes refused it: the reason, the traceback, which nodes."""
    told: dict[tuple[str, str, str], list[str]] = {}
    for vote in generation["votes"]:
        for one in vote["failures"]:
            key = one["package"], one["reason"], one["traceback"]
            told.setdefault(key, []).append(vote["node"])
    for (package, reason, traceback), nodes in told.items():
        tables.say(f"{package}: {reason}", "red")
        tables.traceback(traceback)
        tables.say(f"  on {', '.join(nodes)}", "dim")
