"""What is known of a watched directory, and of what happens in it.  Decisions."""

from __future__ import annotations

import errno
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.settings import Trigger


@dataclass(frozen=True, slots=True)
class Watched:
    """A directory to watch; ``rate`` is in seconds, where it is polled."""

    path: Path
    trigger: Trigger
    rate: float


@dataclass(slots=True)
class Place:
    """What is known of one watched directory."""

    watched: Watched
    watch: int | None = None
    identity: tuple[int, int] | None = None  # device and inode
    absent: bool = False
    polled: str = ""  # why it is polled although events were asked for
    look_at: float = 0.0  # when the clock asks for a look
    try_at: float | None = None  # when events are tried again
    probe: str = ""  # the file whose event is waited for ...
    answer_by: float = 0.0  # ... until then
    heard_at: float = 0.0
    judged_at: float | None = None  # when events that did not come are too late
    whole: set[str] = field(default_factory=set)
    told: bool = False


def times(place: Place) -> list[float]:
    """Return when the clock asks for something to be done with a directory."""
    found = [] if place.look_at == float("inf") else [place.look_at]
    if place.probe:
        found.append(place.answer_by)
    if place.try_at is not None:
        found.append(place.try_at)
    if place.judged_at is not None:
        found.append(place.judged_at)
    return found


def concerns(name: str) -> bool:
    """Tell whether an event of this name can mean a change.

    Hidden files do not; but that a ConfigMap changed shows by its link ``..data``.
    """
    return not name.startswith(".") or name.startswith("..")


def told_of(error: OSError) -> str:
    """Return what went wrong, and which limit to raise."""
    if error.errno == errno.EMFILE:
        return "too many open files, or fs.inotify.max_user_instances is reached"
    if error.errno == errno.ENOSPC:
        return "fs.inotify.max_user_watches is reached, or the disk is full"
    return error.strerror or str(error)
