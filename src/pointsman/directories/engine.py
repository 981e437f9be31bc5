"""One thread that looks at all directories of a node.  Engine."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.cluster import Actor
from pointsman.directories.desk import ATTEMPTS, Desk
from pointsman.directories.mirrored import ArchiveDirectory, KeptPickUp
from pointsman.directories.reports import DirectoryReport
from pointsman.directories.taking import Taking
from pointsman.directories.turns import Turn
from pointsman.errors import LedgerError, Refused
from pointsman.settings import Trigger
from pointsman.sources.watching import Watched, Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping
    from pathlib import Path

    from pointsman.deployments import Deployments
    from pointsman.directories.place import Place
    from pointsman.interfaces import Ledger
    from pointsman.settings import Settings
    from pointsman.sources.watching import Due

_log = logging.getLogger(__name__)

#: Seconds that `Directories.close` waits for the thread.
_END = 5.0


def _nobody(_: str) -> Collection[str]:
    return ()


def _make(folders: Iterable[Path]) -> None:
    """Make what is missing; not what it lies in, which may be a share to be mounted.

    What cannot be made is told when it is looked at.
    """
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700)


@dataclass(slots=True)
class _Request:
    """Somebody waits for a report."""

    confirm_removals: bool
    begun: bool = False
    done: threading.Event = field(default_factory=threading.Event)
    reports: tuple[DirectoryReport, ...] = ()


class Directories:
    """Watches the directories of the settings.  Any thread may call.

    One node at a time scans a directory; the others stand by.  `scan` blocks until
    what it found is decided: never call it on the thread that votes.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        node: str,
        ledger: Ledger,
        deployments: Deployments,
        wait: float,
        alive: Callable[[str], bool],
        importers: Callable[[str], Collection[str]] = _nobody,
    ) -> None:
        """Watch nothing yet.

        ``wait`` is how many seconds a batch may be staged.  ``alive`` tells whether a
        node may be alive; ``importers``, which packages import from one.  ``node`` may
        be set to another before `start`.
        """
        self.node = node
        self._settings = settings
        self._ledger = ledger
        self._deployments = deployments
        self._wait = wait
        self._alive = alive
        self._importers = importers
        self._renew()

    def _renew(self) -> None:
        watcher = getattr(self, "_watcher", None)
        if watcher is not None:  # after a fork: these are copies of the parent's
            watcher.close()
        self._pid = os.getpid()
        self._lock = threading.Lock()  # guards _watcher against its end, and _requests
        self._watcher: Watcher | None = None
        self._requests: list[_Request] = []
        self._thread: threading.Thread | None = None
        self._status: tuple[dict[str, object], ...] = ()
        self._desk = Desk(
            node=self.node,
            ledger=self._ledger,
            deployments=self._deployments,
            alive=self._alive,
            importers=self._importers,
            wait=self._wait,
            clock=time.monotonic,
        )
        self._places: tuple[Place, ...] = ()
        self._turns: dict[Path, Turn] = {}

    # THE THREAD

    def start(self) -> None:
        """Begin to watch, once in each process."""
        if self._thread is not None and self._pid == os.getpid():
            return
        self._renew()
        watched = self._watched()
        if not watched:
            return
        _make(self._settings.pickup_dirs)
        self._places = tuple(self._made())
        self._turns = {
            place.path: Turn(self._desk, place, self._trigger(place))
            for place in self._places
        }
        self._watcher = Watcher(watched)
        self._publish(self._watcher)
        self._thread = threading.Thread(
            target=self._run, name="pointsman-directories", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End the thread soon; what is on its way is finished by the next start."""
        thread = self._thread if self._pid == os.getpid() else None
        if thread is None:
            return
        self._desk.closing.set()
        self._rouse()
        thread.join(_END)
        self._thread = None

    def _rouse(self) -> None:
        with self._lock:
            if self._watcher is not None:
                self._watcher.wake()

    def _watched(self) -> list[Watched]:
        mine = self._settings
        found = {
            path: Watched(path, mine.archives_trigger, mine.archives_rate)
            for path in mine.archive_dirs
        }
        found |= {
            path: Watched(path, mine.pickup_trigger, mine.pickup_rate)
            for path in mine.pickup_dirs
        }
        return list(found.values())

    def _made(self) -> Iterable[Place]:
        host, mine, desk = socket.gethostname(), self._settings, self._desk
        for path in mine.pickup_dirs:
            location = f"pickup:{host}:{path}"
            actor = Actor(f"pick-up directory {path}", host)
            if mine.pickup_delete:
                yield Taking(desk, path, location, actor)
            else:
                yield KeptPickUp(desk, path, location, actor)
        names = mine.archive_ids or tuple(f"{host}:{p}" for p in mine.archive_dirs)
        for path, name in zip(mine.archive_dirs, names, strict=True):
            actor = Actor(f"archive directory {name}", host)
            yield ArchiveDirectory(desk, path, name, actor)

    def _run(self) -> None:
        watcher = self._watcher
        if watcher is None:
            return
        try:
            due: Mapping[Path, Due] = {}
            while not self._desk.closing.is_set():
                self._step(watcher, due)
                due = watcher.wait(self._pause())
        finally:
            with self._lock:
                watcher.close()
                self._watcher = None
                waiting, self._requests = self._requests, []
        for request in waiting:
            request.done.set()

    def _pause(self) -> float | None:
        now = self._desk.clock()
        turns = self._turns.values()
        times = [at for turn in turns if (at := turn.next()) is not None]
        return max(0.0, min(times) - now) if times else None

    def _trigger(self, place: Place) -> Trigger:
        mine = self._settings
        return (
            mine.archives_trigger if place.kind == "archives" else mine.pickup_trigger
        )

    # ONE STEP

    def _step(self, watcher: Watcher, due: Mapping[Path, Due]) -> None:
        with self._lock:
            request = self._requests[0] if self._requests else None
        if request is not None and not request.begun:
            request.begun = True
            for place in self._scannable():
                place.begin(confirm_removals=request.confirm_removals)
        for place in self._places:
            self._step_of(place, watcher, due.get(place.path))
        self._publish(watcher)
        if request is not None:
            self._answer(request)

    def _step_of(self, place: Place, watcher: Watcher, due: Due | None) -> None:
        turn = self._turns[place.path]
        try:
            self._try(place, turn, watcher, due)
        except LedgerError as error:
            reason = str(error)
        except Refused as error:
            reason = error.detail
        except OSError as error:
            reason = f"{error.filename or place.path}: {error.strerror or error}"
        except Exception:  # noqa: BLE001 - the other directories must go on
            _log.exception("%s: an error of pointsman itself", place.path)
            reason = "an error of pointsman itself; see the log"
        else:
            return
        turn.until = max(turn.until, place.failed(reason))

    def _try(self, place: Place, turn: Turn, watcher: Watcher, due: Due | None) -> None:
        told = due is not None and due.told
        if turn.is_ours(told=told) and place.step(due):
            by_clock = due is not None and not told and turn.looked
            turn.looked = True
            if by_clock and place.moved:
                watcher.missed(place.path)

    # REPORTS

    def scan(self, *, confirm_removals: bool = False) -> tuple[DirectoryReport, ...]:
        """Look at all directories now, wait for what is decided, and tell.

        Those that are disabled are left out.  Blocks for as long as staging may take;
        never call it on the thread that votes.
        """
        thread = self._thread
        if thread is None or self._pid != os.getpid():
            return ()
        request = _Request(confirm_removals)
        with self._lock:
            self._requests.append(request)
        self._rouse()
        end = self._desk.clock() + self._wait * ATTEMPTS
        while not request.done.wait(0.5):
            if self._desk.clock() > end or not thread.is_alive():
                self._drop(request)
                break
        for number in {n for one in request.reports for n in one.generations}:
            with contextlib.suppress(LedgerError, Refused):
                left = end - self._desk.clock()
                self._deployments.wait(number, max(0.0, min(left, self._wait)))
        return request.reports

    def _drop(self, request: _Request) -> None:
        with self._lock, contextlib.suppress(ValueError):  # answered just now
            self._requests.remove(request)

    def _scannable(self) -> list[Place]:
        return [p for p in self._places if self._trigger(p) is not Trigger.DISABLED]

    def _answer(self, request: _Request) -> None:
        """End a request, once all directories have come to rest."""
        places = self._scannable()
        if any(self._turns[p.path].mine and p.busy for p in places):
            return
        request.reports = tuple(self._report(place) for place in places)
        self._drop(request)
        request.done.set()
        if self._requests:
            self._rouse()

    def _report(self, place: Place) -> DirectoryReport:
        report = place.report()
        if self._turns[place.path].mine or report.problems:
            return report
        elsewhere = "another process of the cluster looks at it"
        return DirectoryReport(place.path, place.kind, elsewhere=elsewhere)

    def status(self) -> tuple[dict[str, object], ...]:
        """Return what is known of each directory; it becomes JSON."""
        return self._status

    def _publish(self, watcher: Watcher) -> None:
        found = []
        for place in self._places:
            watching = watcher.status(place.path)
            found.append(
                {
                    **place.status(),
                    "trigger": self._trigger(place).value,
                    "watching": watching.mode,
                    "reason": watching.reason,
                    "scanning": self._turns[place.path].mine,
                }
            )
        self._status = tuple(found)
