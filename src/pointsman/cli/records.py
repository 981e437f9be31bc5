"""Printing what was: the history, one generation of it, the audit log.  Effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.cli import tables, verdicts

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_MANY = 4  # packages that a line of the history names


def print_history(generations: Iterable[Mapping[str, Any]]) -> None:
    """Print generations, the newest first; an arrow points at the active one."""
    table = tables.table("", "generation", "when", "state", "who", "what", "note")
    for one in generations:
        marker = "→" if one["state"] == "active" else ""
        table.add_row(
            tables.text(marker, style="bold green"),
            tables.text(str(one["generation"])),
            tables.text(tables.local(one["proposed_at"])),
            tables.status(one["state"]),
            tables.text(one["actor"]["name"]),
            tables.text(_what(one)),
            tables.text(one["note"] or one["reason"]),
        )
    tables.show(table)


def _what(generation: Mapping[str, Any]) -> str:
    names = [change["package"] for change in generation["changes"]]
    names += [*generation["stop"], *generation["start"]]
    more = f" and {len(names) - _MANY} more" if len(names) > _MANY else ""
    return f"{generation['what']} {', '.join(names[:_MANY])}{more}".rstrip()


def print_generation(generation: Mapping[str, Any]) -> None:
    """Print one generation: who and why, what changed, how each node voted."""
    number, state = generation["generation"], generation["state"]
    out = tables.out()
    out.print(tables.text(f"generation {number}: "), tables.status(state), sep="")
    actor = generation["actor"]
    origin = f" from {actor['address']}" if actor["address"] else ""
    for name, text in (
        (generation["what"], f"by {actor['name']}{origin}"),
        ("proposed", tables.local(generation["proposed_at"])),
        ("decided", tables.local(generation["decided_at"])),
        ("on top of", str(generation["base"] or "nothing")),
        ("note", generation["note"]),
        ("reason", generation["reason"]),
        ("timings", _timings(generation["timings"])),
    ):
        if text:
            tables.say(f"{name + ':':<11}{text}")
    verdicts.print_changes(generation)
    if generation["votes"]:
        _print_votes(generation["votes"])
    verdicts.print_failures(generation)


def _timings(timings: Mapping[str, float | None]) -> str:
    words = {
        "queued_ms": "queued",
        "staging_ms": "staging",
        "switching_ms": "switching",
        "spread_ms": "spread of the switch",
    }
    told = (
        f"{word} {tables.milliseconds(timings[key])}"
        for key, word in words.items()
        if timings[key] is not None
    )
    return ", ".join(told)


def _print_votes(votes: Iterable[Mapping[str, Any]]) -> None:
    table = tables.table("node", "vote", "loaded in", "switched", "why")
    for vote in votes:
        word = {None: "none yet", True: "loaded", False: "failed"}[vote["loaded"]]
        why = vote["reason"] or (f"left: {vote['left']}" if vote["left"] else "")
        took = None if vote["loaded"] is None else vote["duration_ms"]
        table.add_row(
            tables.text(vote["node"]),
            tables.status(word),
            tables.text(tables.milliseconds(took)),
            tables.text(_clock(vote["switched_at"])),
            tables.text(why),
        )
    tables.show(table)


def _clock(moment: str | None) -> str:
    """Return the time of day with milliseconds: nodes are compared by them."""
    if moment is None:
        return ""
    return f"{tables.local(moment)[11:]}.{moment[20:23]}"


def print_events(events: Iterable[Mapping[str, Any]]) -> None:
    """Print the audit log, the newest line first."""
    table = tables.table("when", "who", "from", "what", "on", "generation", "detail")
    for one in events:
        cells = (
            tables.local(one["at"]),
            one["actor"]["name"],
            one["actor"]["address"],
            one["what"],
            one["subject"],
            str(one["generation"] or ""),
            one["detail"],
        )
        table.add_row(*map(tables.text, cells))
    tables.show(table)
