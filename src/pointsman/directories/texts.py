"""What is told of files that were not deployed, and of packages.  Decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.model import Outcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.cluster import Entry
    from pointsman.directories.desk import Part
    from pointsman.directories.failures import Why


def printable(name: str) -> str:
    """Return a file's name as every log and every answer can have it.

    What is no UTF-8 in it, from an old file server, is escaped.
    """
    return name.encode(errors="backslashreplace").decode()


def error_text(file: str, why: Why, *, advice: str) -> str:
    """Return the whole text of a ``NAME.error.txt``."""
    lines = [f"{file} was not deployed.", "", f"Reason: {why.reason}"]
    if why.node:
        lines.append(f"Node: {why.node}")
    if why.generation:
        lines.append(
            f"Generation: {why.generation} (see `pointsman show {why.generation}`)"
        )
    if why.traceback:
        lines += ["", why.traceback.rstrip()]
    lines += ["", f"What to do: {advice}", "What was served before is served still."]
    return "\n".join(lines) + "\n"


def done(part: Part, before: Mapping[str, Entry]) -> Outcome:
    """Return what a generation that is active did to a package."""
    was = before.get(part.package)
    if part.entry is None:
        return Outcome(part.package, "removed")
    if was is None:
        status = "added"
    else:
        status = "unchanged" if was.digest == part.entry.digest else "updated"
    return Outcome(
        part.package,
        status,  # type: ignore[arg-type]
        origin=part.file,
        digest=part.entry.digest,
    )


def refused(package: str, file: str, why: Why) -> Outcome:
    """Return that a package was not deployed."""
    return Outcome(package, "failed", why.reason, why.traceback, origin=file)
