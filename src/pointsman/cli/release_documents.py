"""What the ``release`` commands answer: as documents, and for people.  Edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.filesize import decimal

from pointsman.cli import tables

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointsman.releases.journal import Entry
    from pointsman.releases.layout import Release
    from pointsman.releases.report import Report, Settled, Stage
    from pointsman.releases.store import Listed, Pruned


def listed(one: Listed) -> dict[str, Any]:
    """Return a release of a list."""
    return {
        "release": str(one.release),
        "name": one.release.name,
        "version": one.release.version,
        "state": one.state,
        "in_use": one.in_use,
        "pids": list(one.pids),
        "size": one.size,
        "built_at": one.built_at,
        "digest": one.digest,
        "reason": one.reason,
    }


def under_way(entry: Entry | None) -> dict[str, Any] | None:
    """Return the activation that has begun and not ended."""
    if entry is None:
        return None
    known = {key: entry.facts.get(key) for key in ("release", "previous", "server")}
    return {"step": entry.step, "at": entry.at, **known}


def print_list(releases: Iterable[Listed], entry: Entry | None) -> None:
    """Print a table, the newest version first; → is what is committed."""
    table = tables.table("", "release", "state", "built", "size", "in use by", "")
    for one in reversed(tuple(releases)):
        table.add_row(
            "→" if one.state == "active" else "",
            tables.text(str(one.release)),
            tables.status(one.state),
            tables.local(one.built_at or None),
            decimal(one.size) if one.size else "",
            ", ".join(map(str, one.pids)) or ("somebody" if one.in_use else ""),
            tables.text(one.reason),
        )
    tables.show(table)
    if entry is not None:
        tables.note(
            f"the activation of {entry.facts.get('release')} has not ended "
            f"({entry.step}); if its command is dead, the next one settles it"
        )


def report(found: Report) -> dict[str, Any]:
    """Return what an activation came to."""
    return {
        "ok": found.good,
        "result": found.result,
        "release": str(found.release),
        "before": _name(found.before),
        "reason": found.reason,
        "now": found.now,
        "lost": found.lost,
        "stages": [_stage(one) for one in found.stages],
        "settled": settled(found.settled),
    }


def settled(found: Settled | None) -> dict[str, Any] | None:
    """Return what became of an interrupted activation."""
    if found is None:
        return None
    return {
        "release": str(found.release),
        "step": found.step,
        "result": found.result,
        "reason": found.reason,
    }


def print_report(found: Report) -> None:
    """Print what an activation came to, in a sentence or two."""
    if found.settled is not None:
        one = found.settled
        tables.note(f"{one.release}, interrupted while {one.step}: {one.result}")
    now, before = found.release, found.before or "nothing"
    if found.result == "unchanged":
        tables.say(f"{now} serves already")
    elif found.result == "taken back":
        tables.say(f"{now} is taken back; {before} serves", "yellow")
    elif found.result == "failed":
        put = "" if found.release == found.before else ", and is in quarantine"
        tables.say(f"{now} failed{put}; {found.now}", "bold red")
        tables.say(found.reason)
        if found.lost:
            tables.say(f"{found.lost} requests died with it", "bold red")
    else:
        word = "serves" if found.result == "activated" else "serves again"
        tables.say(f"{now} {word}; before: {before}", "green")


def pruned(one: Pruned) -> dict[str, Any]:
    """Return what became of a release."""
    return {
        "release": str(one.release),
        "removed": one.removed,
        "reason": one.reason,
        "freed": one.freed,
    }


def print_pruned(found: Iterable[Pruned]) -> None:
    """Print a table of what was removed, and why the others were not."""
    table = tables.table("release", "", "", "freed")
    for one in found:
        word = tables.status("removed") if one.removed else tables.text("kept")
        freed = decimal(one.freed) if one.removed else ""
        table.add_row(tables.text(str(one.release)), word, one.reason, freed)
    tables.show(table)


def _stage(one: Stage) -> dict[str, Any]:
    return {"name": one.name, "detail": one.detail, "at": one.at}


def _name(release: Release | None) -> str | None:
    return None if release is None else str(release)
