"""Fibres under one simulated clock: one runs at a time, and the order is given.

Each fibre is a greenlet, so that code which knows nothing of any simulation can be
stopped in the middle.  A fibre gives the turn away where it sleeps or waits; whose
time comes first gets it.  Nothing here asks the real clock or the real scheduler, so
a run is what its seed makes it.
"""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

from greenlet import greenlet

if TYPE_CHECKING:
    from collections.abc import Callable


class Killed(BaseException):
    """The process of this fibre is no more; nothing of it may go on."""


class Fibre:
    """One thread of execution in a simulated process."""

    def __init__(self, name: str, work: Callable[[], None]) -> None:
        self.name = name
        self.work = work
        self.greenlet = greenlet(self._live)
        self.is_killed = False
        self.is_over = False
        self.due = 0  # of its entries in the timetable, the one that counts

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def _live(self) -> None:
        try:
            if not self.is_killed:
                self.work()
        except Killed:
            pass
        finally:
            self.is_over = True


class Timetable:
    """Who runs when.  ``now`` is in seconds since the beginning."""

    def __init__(self) -> None:
        self.now = 0.0
        self.switches = 0
        self.current: Fibre | None = None
        self._entries: list[tuple[float, int, Fibre | Callable[[], None], int]] = []
        self._numbers = itertools.count()
        self._hub = greenlet.getcurrent()
        self._living: dict[Fibre, None] = {}
        self._failure: BaseException | None = None

    # FROM OUTSIDE

    def run(self, until: float) -> None:
        """Let the fibres run until then, or until one fails; raise what it raised."""
        self._hub = greenlet.getcurrent()
        while self._failure is None and self._entries and self._entries[0][0] <= until:
            at, _, what, due = heapq.heappop(self._entries)
            if not isinstance(what, Fibre):
                self.now = max(self.now, at)
                what()
            elif due == what.due and not what.is_over:
                self.now = max(self.now, at)
                self._switch_to(what)
        if self._failure is not None:
            raise self._failure
        self.now = max(self.now, until)

    def _switch_to(self, fibre: Fibre) -> None:
        self.switches += 1
        self.current = fibre
        try:
            fibre.greenlet.switch()
        finally:
            self.current = None
            if fibre.is_over:
                self._living.pop(fibre, None)

    def close(self) -> None:
        """End all fibres, one after the other."""
        self._hub = greenlet.getcurrent()
        while self._living:
            fibre = next(iter(self._living))
            fibre.is_killed = True
            self._switch_to(fibre)
        self._entries.clear()

    # FOR FIBRES, AND FOR WHAT IS CALLED

    def fail(self, error: BaseException) -> None:
        """Let `run` raise that, as soon as the turn is given away."""
        self._failure = self._failure or error

    def spawn(
        self, name: str, work: Callable[[], None], *, after: float = 0.0
    ) -> Fibre:
        """Let ``work`` run in a fibre of its own."""
        fibre = Fibre(name, work)
        fibre.greenlet.parent = self._hub  # where its end goes, not to who spawns it
        self._living[fibre] = None
        self.wake(fibre, after)
        return fibre

    def sleep(self, seconds: float) -> None:
        """Let others run for so long, or until somebody wakes this fibre."""
        fibre = self.mine
        self.wake(fibre, seconds)
        if not fibre.is_killed:
            self._hub.switch()
        if fibre.is_killed:
            raise Killed

    def wake(self, fibre: Fibre, after: float = 0.0) -> None:
        """Let a fibre run at that time, and at no other."""
        fibre.due += 1
        entry = (self.now + max(after, 0.0), next(self._numbers), fibre, fibre.due)
        heapq.heappush(self._entries, entry)

    def call(self, after: float, work: Callable[[], None]) -> None:
        """Do something then, in no fibre: it may not sleep."""
        at = self.now + max(after, 0.0)
        heapq.heappush(self._entries, (at, next(self._numbers), work, 0))

    def kill(self, fibre: Fibre) -> None:
        """End a fibre where it is; it runs no further line but its clean-up."""
        if not fibre.is_over:
            fibre.is_killed = True
            if fibre is not self.current:
                self.wake(fibre)

    @property
    def mine(self) -> Fibre:
        """Return the fibre that has the turn."""
        assert self.current is not None
        return self.current
