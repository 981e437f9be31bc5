"""The record of what was done: releases.log, one JSON object a line.  Effects."""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Self

from pointsman import durable
from pointsman.releases import sites

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TORN = "unreadable"  # what a line tells that cannot be read


@dataclass(frozen=True, slots=True)
class Event:
    """One line: when (ISO 8601, UTC), who, what, with which release."""

    at: str
    who: str
    what: str  # built, activated, failed, rolled back, quarantined, cleared, pruned ...
    release: str = ""
    detail: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Keep the detail as it is."""
        object.__setattr__(self, "detail", MappingProxyType(dict(self.detail)))

    @classmethod
    def now(
        cls, now: float, what: str, release: str, detail: Mapping[str, Any]
    ) -> Self:
        """Return what the caller of the program has done at ``now`` (epoch)."""
        return cls(utc(now), sites.operator(), what, release, detail)

    def line(self) -> str:
        """Return it as it is written."""
        document = {"at": self.at, "who": self.who, "what": self.what}
        if self.release:
            document["release"] = self.release
        if self.detail:
            document["detail"] = dict(self.detail)  # type: ignore[assignment]
        return json.dumps(document, default=str) + "\n"


def utc(seconds: float) -> str:
    """Return a time since the epoch as ISO 8601, UTC, in milliseconds."""
    at = dt.datetime.fromtimestamp(seconds, dt.UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def append(path: Path, event: Event) -> None:
    """Write one line at the end; it is on the disk before this returns.

    A line that a power cut has torn is ended first.

    Raises:
        OSError: it cannot be written, and nothing of it is there.

    """
    new = not path.exists()
    flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o644)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        end = os.fstat(descriptor).st_size
        torn = end > 0 and os.pread(descriptor, 1, end - 1) != b"\n"
        _write(descriptor, ("\n" if torn else "") + event.line(), end)
    finally:
        os.close(descriptor)
    if new:
        durable.folder(path.parent)


def _write(descriptor: int, text: str, end: int) -> None:
    """Write all of it to the disk, or nothing."""
    data = text.encode("ascii")
    try:
        while data:
            data = data[os.write(descriptor, data) :]
        os.fsync(descriptor)
    except OSError:
        os.ftruncate(descriptor, end)
        raise


def read(path: Path) -> tuple[Event, ...]:
    """Return all lines, the oldest first; none when nothing was done yet.

    A torn last line is left out: what it began to tell was not finished.  Any other
    line that cannot be read is an event that says so.

    Raises:
        OSError: the file cannot be read.

    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ()
    whole = text[: text.rfind("\n") + 1].splitlines()
    return tuple(_event(line) for line in whole if line.strip())


def newest(path: Path, release: str, *what: str) -> Event:
    """Return the last line that tells one of those of a release, or an empty one.

    Raises:
        OSError: the file cannot be read.

    """
    for event in reversed(read(path)):
        if event.release == release and event.what in what:
            return event
    return Event("", "", "")


def _event(line: str) -> Event:
    try:
        document = json.loads(line)
        return Event(
            str(document["at"]),
            str(document["who"]),
            str(document["what"]),
            str(document.get("release", "")),
            dict(document.get("detail", {})),
        )
    except (ValueError, KeyError, TypeError, AttributeError):
        return Event("", "", TORN, detail={"line": line})
