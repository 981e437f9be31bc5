"""Which files of a directory are there whole.  Effects.

Somebody copies a file in: it grows, stands still, grows on.  It counts when

* no process of this machine has it open for writing.  Who asks the kernel for a read
  lease is refused one then (fcntl(2), F_SETLEASE);
* its size, times and inode have stood still between two looks ``SETTLE`` apart, or for
  ``PATIENT`` seconds where no lease is given (a file server, somebody else's file)
  and nobody has seen it being closed;
* a zip has its central directory, and all that this names.
"""

from __future__ import annotations

import os
import re
import stat
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.sources.arrivals.leases import open_for_writing
from pointsman.sources.arrivals.zips import truncated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

__all__ = ["Arrivals", "Look", "Seen", "mark_of", "open_for_writing", "unfinished"]

SETTLE = 0.02  # seconds between two looks
PATIENT = 2.0  # seconds of stillness where that is all there is to go by
TRUNCATED = 60.0  # seconds until a zip that stays incomplete is taken as it is

RARELY = 2.0  # seconds between looks at what waits for long

KINDS = (".py", ".sar", ".zip", ".whl")
_ZIPS = KINDS[1:]
_WRITTEN = "somebody writes to it"

#: Folders that are none of our business in a directory of packages.
FAILED = "failed"
_FOLDERS = (FAILED, "__pycache__", "lost+found")

_UNFINISHED = re.compile(
    r"""\. .* | .* ~ | \# .* \# | 4913 | .* \. (?: part | partial | filepart | tmp
    | temp | crdownload | download | opdownload | upload | swp | swx | swo | bak | orig
    | rej | old | pyc | pyo )""",
    re.VERBOSE | re.IGNORECASE | re.DOTALL,
)


def unfinished(name: str) -> bool:
    """Tell whether a file of this name is hidden, a draft or a backup of others."""
    return _UNFINISHED.fullmatch(name) is not None


@dataclass(frozen=True, slots=True)
class Seen:
    """A file as it is now.

    ``waits`` says what it waits for; empty when it is whole.  ``soon``: that will be
    known in a moment, unless somebody goes on writing.
    """

    name: str
    path: Path
    mark: tuple[int, ...]  # device, inode, size, modified, changed (in ns)
    waits: str = ""
    soon: bool = False
    link: bool = False

    @property
    def size(self) -> int:
        """Return its size in bytes."""
        return self.mark[2]

    @property
    def modified(self) -> int:
        """Return when its content changed, in ns since the epoch."""
        return self.mark[3]


@dataclass(frozen=True, slots=True)
class Look:
    """What a directory holds at one moment.

    ``strangers`` are visible things that are no packages: name to reason.
    ``moving``: something is another than at the last look, or not whole and still
    growing; so many files are ``fresh``.  ``again`` is in how many seconds a look can
    tell more; None if none can.
    """

    device: int
    files: Mapping[str, Seen]
    strangers: Mapping[str, str]
    moving: bool = False
    fresh: int = 0
    again: float | None = None

    @property
    def whole(self) -> dict[str, Seen]:
        """Return the files that count."""
        return {name: seen for name, seen in self.files.items() if not seen.waits}


@dataclass(slots=True)
class _Still:
    """Since when a file has been as it is."""

    mark: tuple[int, ...]
    since: float
    first: bool  # it was there before anybody looked
    whole: bool = False
    closed: bool = False  # and an event told that it was closed


@dataclass(slots=True)
class Arrivals:
    """Looks at one directory, again and again.  One thread.

    ``clock`` is monotonic, ``time`` the one that files are stamped by.
    """

    folder: Path
    clock: Callable[[], float] = time.monotonic
    time: Callable[[], float] = time.time
    _still: dict[str, _Still] = field(default_factory=dict)
    _looked: bool = False

    def look(self, closed: Iterable[str] = ()) -> Look:
        """Return what is there; ``closed`` are files that events told to be whole.

        Raises:
            OSError: the directory cannot be read.

        """
        now = self.clock()
        device = os.stat(self.folder).st_dev  # noqa: PTH116
        files: dict[str, Seen] = {}
        strangers: dict[str, str] = {}
        count = 0
        told = frozenset(closed)
        with os.scandir(self.folder) as inside:
            for entry in inside:
                if unfinished(entry.name):
                    continue
                try:
                    found = entry.stat()
                except FileNotFoundError:
                    if entry.is_symlink():
                        strangers[entry.name] = "it is a link that leads nowhere"
                    continue
                reason = _stranger(entry.name, found.st_mode)
                if reason is None:
                    seen, fresh = self._seen(entry, found, now, told)
                    files[entry.name] = seen
                    count += fresh
                elif reason:
                    strangers[entry.name] = reason
        moving = bool(count) or not self._still.keys() <= files.keys()
        for name in self._still.keys() - files.keys():
            del self._still[name]
        self._looked = True
        files = dict(sorted(files.items()))
        again = self._again(files, now)
        return Look(device, files, strangers, moving, count, again)

    def _seen(
        self,
        entry: os.DirEntry[str],
        found: os.stat_result,
        now: float,
        closed: frozenset[str],
    ) -> tuple[Seen, bool]:
        """Return a file, and whether it is another than at the last look."""
        mark = mark_of(found)
        still = self._still.get(entry.name)
        fresh = still is None or still.mark != mark
        if still is None or fresh:
            still = _Still(mark, now, first=not self._looked)
            self._still[entry.name] = still
        still.closed = still.closed or entry.name in closed
        path = self.folder / entry.name
        waits = "" if still.whole else self._waits(path, still, now)
        still.whole = not waits
        soon = bool(waits) and waits != _WRITTEN and now - still.since < PATIENT
        return Seen(entry.name, path, mark, waits, soon, entry.is_symlink()), fresh

    def _waits(self, path: Path, still: _Still, now: float) -> str:
        """Return what a file waits for, if anything."""
        quiet = now - still.since
        if quiet < SETTLE:
            return "it came a moment ago"
        try:
            return self._writing(path, still, quiet) or _missing(path, quiet)
        except FileNotFoundError:
            return "it vanished"
        except OSError as error:
            return f"it cannot be read: {error.strerror or error}"

    def _writing(self, path: Path, still: _Still, quiet: float) -> str:
        written = open_for_writing(path)
        if written:
            return _WRITTEN
        if quiet < PATIENT and self._uncertain(still, known=written is False):
            return "it may be written to from elsewhere"
        return ""

    def _uncertain(self, still: _Still, *, known: bool) -> bool:
        """Tell whether a file needs patience: only its stillness speaks for it."""
        _, _, size, modified, changed = still.mark
        if size == 0 or changed % 1_000_000_000 == 0:  # it just begins; a coarse clock
            return True
        if known or still.closed:
            return False
        age = self.time() - max(modified, changed) / 1e9
        return not still.first or age < PATIENT

    def _again(self, files: Mapping[str, Seen], now: float) -> float | None:
        """Return when a file that waits may be whole; often at first, rarely later."""
        waiting = [self._still[n].since for n, seen in files.items() if seen.waits]
        if not waiting:
            return None
        return min(max(SETTLE, min((now - since) / 4, RARELY)) for since in waiting)


def _missing(path: Path, quiet: float) -> str:
    if quiet < TRUNCATED and path.suffix.lower() in _ZIPS and truncated(path):
        return "the end of the zip is missing"
    return ""


def mark_of(found: os.stat_result) -> tuple[int, ...]:
    """Return what tells a file from another, or from itself when it is rewritten."""
    return (
        found.st_dev,
        found.st_ino,
        found.st_size,
        found.st_mtime_ns,
        found.st_ctime_ns,
    )


def _stranger(name: str, mode: int) -> str | None:
    """Return why something visible is not taken; "" to say nothing of it."""
    if stat.S_ISDIR(mode):
        return "" if name in _FOLDERS else "it is a folder; pack it, or move it away"
    if not stat.S_ISREG(mode):
        return "it is no file"
    if name.lower().endswith(KINDS):
        return None
    return f"only {', '.join(KINDS[:-1])} and {KINDS[-1]} are taken"
