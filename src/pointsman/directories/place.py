"""One watched directory: when it is looked at, and what is known of it.  Engine."""

from __future__ import annotations

import logging
import time
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from pointsman.directories.reports import DirectoryReport, Notes
from pointsman.model import Problem
from pointsman.sources.arrivals import SETTLE, Arrivals, Look

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.directories.desk import Desk
    from pointsman.model import Outcome
    from pointsman.sources.watching import Due

_log = logging.getLogger(__name__)

POLL = 0.01  # seconds between two looks at what is on its way ...
SLOWLY = 0.1  # ... and when it takes long
SHORTEST = 0.004  # seconds between two looks because of events, at least
SLICE = 0.1  # seconds that one directory keeps the others waiting
GATHER = 5.0  # seconds that whole files wait for others at most
MANY = 20  # files, for each of which so many more wait another SETTLE ...
QUIET = 0.5  # ... and this many seconds at most
_FIRST, _LAST = 1.0, 30.0  # seconds until something that failed is tried again


class Place(ABC):
    """A directory and its batches.  One thread, but for `status`."""

    kind = ""

    def __init__(self, desk: Desk, path: Path, location: str) -> None:
        """Look at nothing yet."""
        self.desk = desk
        self.path = path
        self.location = location
        self.notes = Notes()
        self.problems: dict[str, str] = {}  # by file
        self.trouble = ""  # of the whole directory
        self.held = ""
        self.asked = False  # somebody waits for a report
        self.confirmed = False  # removals are, for that report
        self.settling = False  # there may be more to do in a moment
        self.look_at: float | None = None  # by the clock of the desk
        self.scanned_at: float | None = None
        self._arrivals = Arrivals(path, desk.clock)
        self._last: Look | None = None
        self._closed: set[str] = set()
        self._told: dict[str, str] = {}  # problems that were logged
        self._gap = SHORTEST
        self._moved_at = 0.0
        self._gathering_since: float | None = None
        self._gathered = 0
        self._work: Iterator[None] | None = None  # what a look asked for
        self._told_trouble = ""
        self._at: float | None = None  # when it was last looked at, for people
        self._pauses = 0
        self._not_before = 0.0  # after something that failed
        self._pending_since = 0.0

    # FOR SUBCLASSES

    @abstractmethod
    def pending(self) -> bool:
        """Tell whether a batch is on its way."""

    @abstractmethod
    def poll(self) -> None:
        """See whether the batch that is on its way is decided."""

    @abstractmethod
    def work(self, look: Look) -> Iterator[None]:
        """Do what a look asks for, in pieces; set ``look_at`` if there is more."""

    def unreadable(self, error: OSError) -> Look | None:
        """Hear that the directory cannot be read; return what to work with instead."""
        self.trouble = f"it cannot be read: {error.strerror or error}"
        return None

    def relieved(self) -> None:  # noqa: B027 - most have nothing to forget
        """Hear that another process may look at the directory from now on."""

    def note(self, outcome: Outcome) -> None:
        """Write down what became of a package, for the report."""
        if outcome.status != "unchanged":
            self.notes.outcomes[outcome.package] = outcome

    def pause(self, reason: str) -> float:
        """Hear why something has to be tried again; return in how many seconds."""
        self.trouble = reason
        self._pauses += 1
        return min(_LAST, _FIRST * 2.0 ** min(self._pauses - 1, 9))

    # STEPS

    def step(self, due: Due | None) -> bool:
        """Do what can be done now, without waiting; True if it looked.

        Raises:
            LedgerError: the ledger cannot be used; `failed` puts off the next step.

        """
        if due is not None:
            self._closed |= due.whole
            self.look_at = min(self._earliest(), self.look_at or float("inf"))
        now = self.desk.clock()
        if now < self._not_before and not self.asked:
            return False
        if self._work is not None:
            self._go_on()
            return False
        if self.pending():
            self.poll()
            if not self.pending():
                self.look_at = now  # for what came meanwhile
            elif self._not_before:
                self.trouble = ""
        self._not_before = 0.0
        if self.pending() or self.look_at is None or self.look_at > now:
            return False
        self._look(now)
        return True

    def _go_on(self) -> None:
        """Work for a moment: the other directories want to be looked at, too."""
        work, self._work = self._work, None
        end = self.desk.clock() + SLICE
        while work is not None and self.desk.clock() < end:
            if next(work, work) is work:
                self._done()
                return
        self._work = work

    def _earliest(self) -> float:
        """Return when to look because of an event: looking shall not be all we do."""
        return max(self.desk.clock(), (self.scanned_at or 0.0) + self._gap)

    def _look(self, now: float) -> None:
        self.look_at = None
        self.trouble = ""
        self.scanned_at, self._at = now, time.time()
        look: Look | None
        try:
            self._last = look = self._arrivals.look(self._closed)
        except OSError as error:
            self._last = None
            look = self.unreadable(error)
        else:
            self._closed.clear()
        self._gap = min(SETTLE, max(SHORTEST, 4 * (self.desk.clock() - now)))
        if look is None:
            self._done()
        else:
            self._work = self.work(look)
            self._go_on()

    def _done(self) -> None:
        if not self.trouble:
            self._pauses = 0
        if self.pending():
            self._pending_since = self.desk.clock()
        self._tell()

    def gathering(self, look: Look) -> float | None:
        """Return in how many seconds to look again for more; None if all is there.

        Files that come together go together.  Who copies many pauses now and then:
        the more there are, the longer nothing must have happened.
        """
        now = self.desk.clock()
        if look.moving:
            self._moved_at = now
            self._gathered += look.fresh
        quiet = min(QUIET, SETTLE * (self._gathered / MANY))
        since = now if self._gathering_since is None else self._gathering_since
        left = self._moved_at + quiet - now
        if now - since < GATHER and (look.moving or left > 0):
            self._gathering_since = since
            return look.again or max(SETTLE, left)
        self._gathering_since, self._gathered = None, 0
        return None

    def again(self, seconds: float | None) -> None:
        """Ask for another look in so many seconds, if it is not asked for sooner."""
        if seconds is not None:
            at = self.desk.clock() + seconds
            self.look_at = min(at, self.look_at or at)

    def failed(self, reason: str) -> float:
        """Hear that a step did not end well; return when the next is taken."""
        self._not_before = self.look_at = self.desk.clock() + self.pause(reason)
        self._tell()
        return self._not_before

    def _tell(self) -> None:
        """Log each problem once."""
        if self.trouble != self._told_trouble:
            if self.trouble:
                _log.error("%s: %s", self.path, self.trouble)
            else:
                _log.info("%s: it can be used again", self.path)
        self._told_trouble = self.trouble
        for name, reason in self.problems.items():
            if self._told.get(name) != reason:
                _log.warning("%s: %s: %s", self.path, name, reason)
        self._told = dict(self.problems)

    @property
    def next(self) -> float | None:
        """Return when the next step is wanted, by the clock of the desk."""
        if self._work is not None:
            return self._not_before
        if not self.pending():
            return self.look_at
        now = self.desk.clock()
        pause = POLL if now - self._pending_since < 1 else SLOWLY
        return max(now + pause, self._not_before)

    @property
    def moved(self) -> bool:
        """Tell whether the last look found a change."""
        return self._last is not None and self._last.moving

    # REPORTS

    def begin(self, *, confirm_removals: bool) -> None:
        """Begin a report: look as soon as possible."""
        self.notes.clear()
        self.asked = True
        self.confirmed = confirm_removals
        self.look_at = self.desk.clock()

    @property
    def busy(self) -> bool:
        """Tell whether a report would not be complete yet."""
        if self.pending() or self._work is not None or self.moved:
            return True
        if self.settling or (self.look_at or float("inf")) <= self.desk.clock():
            return True
        files = self._last.files.values() if self._last is not None else ()
        return any(seen.soon for seen in files)

    def report(self) -> DirectoryReport:
        """Return what was done since `begin`."""
        self.asked = self.confirmed = False
        return DirectoryReport(
            self.path,
            self.kind,
            tuple(self.notes.outcomes.values()),
            self._all_problems(),
            tuple(self.notes.generations),
            self.held,
        )

    def _all_problems(self) -> tuple[Problem, ...]:
        found = [
            Problem(str(self.path / name), why) for name, why in self.problems.items()
        ]
        if self.trouble:
            found.insert(0, Problem(str(self.path), self.trouble))
        waiting = self.waiting()
        found += [Problem(str(self.path / name), why) for name, why in waiting.items()]
        return tuple(found)

    def waiting(self) -> dict[str, str]:
        """Return the files that are not whole, and what they wait for."""
        files = self._last.files.values() if self._last is not None else ()
        return {seen.name: seen.waits for seen in files if seen.waits}

    def status(self) -> dict[str, object]:
        """Return what is known, for people; it becomes JSON."""
        return {
            "path": str(self.path),
            "kind": self.kind,
            "location": self.location,
            "scanned_at": self._at,
            "files": len(self._last.files) if self._last is not None else 0,
            "waiting": self.waiting(),
            "held": self.held,
            "trouble": self.trouble,
            "problems": dict(self.problems),
        }
