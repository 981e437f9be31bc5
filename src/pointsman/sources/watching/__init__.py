"""When to look at a directory: events of the kernel, a clock, or neither.  Effects.

A directory whose trigger is *notified* proves that its events come: a hidden file
is made in it and removed again.  Where no event tells of that file, where none can
be asked for, and on file systems that others change behind this kernel's back, the
directory is polled instead, and the reason is told; it is tried again later.  While
events come, a look every ``NET`` seconds catches what they did not tell.
"""

from __future__ import annotations

import contextlib
import errno
import os
import select
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pointsman.inotify import Inotify
from pointsman.settings import Trigger
from pointsman.sources.watching import filesystems
from pointsman.sources.watching.places import Place, Watched, concerns, times, told_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pointsman.inotify import Event

__all__ = ["PROBE", "Due", "Watched", "Watcher", "Watching"]

#: How the hidden file begins by which a directory is tested.
PROBE = ".pointsman-probe-"

NET = 60.0  # seconds between looks while events come
ANSWER = 1.0  # seconds in which an event must have come
AGAIN = 300.0  # seconds until events that did not come are tried again
ABSENT = 1.0  # seconds between two attempts to find a directory


class Events(Protocol):
    """What `inotify.Inotify` does."""

    descriptor: int

    def watch(self, folder: Path) -> int: ...
    def forget(self, watch: int) -> None: ...
    def read(self) -> list[Event]: ...
    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Watching:
    """How a directory is watched, for people.

    ``mode`` is notified, polled, on-demand, disabled or absent; ``reason`` says why
    it is another than was asked for.
    """

    mode: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Due:
    """A directory should be looked at.

    ``whole`` are files that were closed after writing, or moved in.  ``told`` is
    False when the clock alone says so.
    """

    whole: frozenset[str] = frozenset()
    told: bool = False


class Watcher:
    """Says when which directory should be looked at.

    `wait` and `status` are for one thread, `wake` and `close` for any.
    """

    def __init__(
        self,
        watched: Iterable[Watched],
        *,
        clock: Callable[[], float] = time.monotonic,
        events: Callable[[], Events] = Inotify,
        remote: Callable[[Path], str] = filesystems.remote,
    ) -> None:
        """Begin to watch; every directory is due at once."""
        self._clock = clock
        self._remote = remote
        self._places = {one.path: Place(one) for one in watched}
        self._by_watch: dict[int, Place] = {}
        self._poll = select.poll()
        self._woken, self._waker = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._poll.register(self._woken, select.POLLIN)
        self._events: Events | None = None
        self._no_events = ""
        if any(p.watched.trigger is Trigger.NOTIFIED for p in self._places.values()):
            self._open(events)
        for place in self._places.values():
            self._begin(place)

    def _open(self, events: Callable[[], Events]) -> None:
        try:
            self._events = events()
            self._poll.register(self._events.descriptor, select.POLLIN)
        except OSError as error:
            self._no_events = f"no events can be asked for: {told_of(error)}"

    # WAITING

    def wait(self, seconds: float | None) -> Mapping[Path, Due]:
        """Return what is due; block until something is, someone wakes, or time is up.

        None waits without an end of its own.
        """
        end = None if seconds is None else self._clock() + seconds
        while True:
            now = self._clock()
            self._keep_time(now)
            due = self._collect(now)
            if due or (end is not None and now >= end):
                return due
            if self._sleep(now, end):
                return self._collect(self._clock())

    def _sleep(self, now: float, end: float | None) -> bool:
        """Block until something happens; True when somebody wakes."""
        moments = [at for p in self._places.values() for at in times(p)]
        moments += [] if end is None else [end]
        pause = max(0.0, min(moments) - now) * 1000 if moments else None
        ready = {descriptor for descriptor, _ in self._poll.poll(pause)}
        if self._events is not None and self._events.descriptor in ready:
            for event in self._events.read():
                self._hear(event)
        if self._woken in ready:
            with contextlib.suppress(BlockingIOError):
                os.read(self._woken, 4096)
            return True
        return False

    def _collect(self, now: float) -> dict[Path, Due]:
        found: dict[Path, Due] = {}
        for path, place in self._places.items():
            if place.told or place.look_at <= now:
                found[path] = Due(frozenset(place.whole), place.told)
                place.whole.clear()
                place.told = False
                place.look_at = now + self._pause(place)
        return found

    def _pause(self, place: Place) -> float:
        if place.watched.trigger in (Trigger.ON_DEMAND, Trigger.DISABLED):
            return float("inf")
        if place.watched.trigger is Trigger.POLLED or place.polled:
            return place.watched.rate
        return NET

    # WHAT THE KERNEL TELLS

    def _hear(self, event: Event) -> None:
        if event.lost:
            for place in self._places.values():
                place.told = place.told or place.watch is not None
            return
        if event.watch in self._by_watch:
            self._hear_at(self._by_watch[event.watch], event)

    def _hear_at(self, place: Place, event: Event) -> None:
        if event.ends:
            self._lose(place)
        elif place.probe and event.name == place.probe:
            self._proven(place)
        elif concerns(event.name):
            place.told = True
            place.heard_at = self._clock()
            if event.whole:
                place.whole.add(event.name)

    def _lose(self, place: Place) -> None:
        """The directory is gone or another; look for it, and watch that."""
        self._forget(place)
        place.told = True
        place.try_at = self._clock()

    def _forget(self, place: Place) -> None:
        if place.watch is not None and self._events is not None:
            self._by_watch.pop(place.watch, None)
            self._events.forget(place.watch)
        place.watch = None

    # PROOF

    def _begin(self, place: Place) -> None:
        """Watch a directory, if that is asked for and can be, and test it."""
        place.try_at = None
        if place.watched.trigger is not Trigger.NOTIFIED:
            return
        if self._events is None:
            self._fall_back(place, self._no_events)
            place.try_at = None  # a process that has none gets none
            return
        try:
            found = os.stat(place.watched.path)  # noqa: PTH116
            place.watch = self._events.watch(place.watched.path)
        except OSError as error:
            self._not_watched(place, error)
            return
        self._by_watch[place.watch] = place
        place.identity = (found.st_dev, found.st_ino)
        if place.absent:  # it came (back)
            place.absent, place.told = False, True
        self._test(place)

    def _not_watched(self, place: Place, error: OSError) -> None:
        if error.errno in (errno.ENOENT, errno.ENOTDIR):
            place.polled = ""
            place.absent = True
            place.try_at = self._clock() + ABSENT
        else:
            self._fall_back(place, f"it cannot be watched: {told_of(error)}")

    def _test(self, place: Place) -> None:
        kind = self._remote(place.watched.path)
        if kind:
            reason = f"it lies on {kind}, where changes made elsewhere bring no event"
            self._fall_back(place, reason)
            place.try_at = None
            return
        place.probe = f"{PROBE}{os.getpid()}-{time.monotonic_ns()}"
        place.answer_by = self._clock() + ANSWER
        path = place.watched.path / place.probe
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            os.close(descriptor)
            path.unlink()
        except OSError as error:
            place.probe = ""
            reason = f"its events cannot be tested: {told_of(error)}"
            self._fall_back(place, reason)

    def _proven(self, place: Place) -> None:
        place.probe = ""
        if place.polled:
            place.polled = ""
        place.look_at = min(place.look_at, self._clock() + NET)

    def _fall_back(self, place: Place, reason: str) -> None:
        """Poll; a watch that there is stays, for the events that come after all."""
        now = self._clock()
        place.polled = reason
        place.absent = False
        place.try_at = now + AGAIN
        place.look_at = min(place.look_at, now + place.watched.rate)

    def missed(self, path: Path) -> None:
        """Hear that a look by the clock alone has found a change in a directory.

        Unless an event is on its way, events are not to be trusted there.
        """
        place = self._places[path]
        if place.watch is not None and not place.polled and place.judged_at is None:
            place.judged_at = self._clock() + ANSWER

    def _keep_time(self, now: float) -> None:
        for place in self._places.values():
            if place.probe and now >= place.answer_by:
                place.probe = ""
                reason = f"no event came for a test file within {ANSWER:g} s"
                self._fall_back(place, reason)
            if place.judged_at is not None and now >= place.judged_at:
                if place.heard_at < place.judged_at - 2 * ANSWER:
                    self._fall_back(place, "a change was found that no event told of")
                place.judged_at = None
            if place.look_at <= now:
                self._check(place)
            if place.try_at is not None and now >= place.try_at:
                self._forget(place)
                self._begin(place)

    def _check(self, place: Place) -> None:
        """Watch anew what is another directory by now: a mount, a new folder."""
        if place.watch is None:
            return
        try:
            found = os.stat(place.watched.path)  # noqa: PTH116
        except OSError:
            found = None
        if found is None or (found.st_dev, found.st_ino) != place.identity:
            self._forget(place)
            place.try_at = self._clock()

    # FOR OTHERS

    def status(self, path: Path) -> Watching:
        """Return how a directory is watched."""
        place = self._places[path]
        trigger = place.watched.trigger
        if trigger is Trigger.NOTIFIED and place.absent:
            return Watching("absent", "it is not there; it is looked for every second")
        if trigger is Trigger.NOTIFIED and place.polled:
            rate = f"every {place.watched.rate:g} s"
            return Watching("polled", f"{place.polled}; it is looked at {rate}")
        return Watching(trigger.value)

    def wake(self) -> None:
        """Let `wait` return; from any thread."""
        with contextlib.suppress(OSError):  # it is full, and so awake, or closed
            os.write(self._waker, b"\0")

    def close(self) -> None:
        """Give all descriptors back; not while another thread waits."""
        if self._events is not None:
            self._events.close()
        for descriptor in (self._woken, self._waker):
            os.close(descriptor)
