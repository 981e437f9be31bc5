"""The end of replaced versions: drained, kept warm, stopped, forgotten.  Engine."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from pointsman import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pointsman.namespace.space import Namespace
    from pointsman.traffic import Version

_log = logging.getLogger(__name__)

#: How often a version that is not drained yet is looked at, in seconds.
POLL = 0.02

#: How many versions of one package may linger before the oldest is cut off.
MOST_LINGERING = 3


@dataclass(slots=True, eq=False)
class Retired:
    """One replaced version on its way out.  Times are monotonic seconds."""

    version: Version
    since: float
    warm_until: float
    lingering: bool = False
    ending: bool = False  # its stop() is being called, or has been

    @property
    def name(self) -> str:
        """Return the package's name."""
        return self.version.loaded.package.name

    def drained(self, others: Iterable[Retired]) -> bool:
        """Tell whether no request uses it or may still come to import it.

        What serves sees nothing that was replaced; only ``others`` can, which are
        on their way out too.
        """
        if self.version.pins:
            return False
        space = self.version.loaded.space
        return space is None or not any(
            other.version.pins and other.sees(space) for other in others
        )

    def sees(self, space: Namespace) -> bool:
        """Tell whether its code imports ``space``, or would if it imported now."""
        own = self.version.loaded.space
        return own is not None and own.sees(space)


class Retirement:
    """Waits for what was replaced, and ends it.  `add`, `take_back`: any thread.

    Its own thread ends one version at a time; ``end`` runs the service's code on it.
    """

    def __init__(
        self, end: Callable[[Version], None], *, keep_warm: float, timeout: float
    ) -> None:
        """Call ``end`` once for each version; durations are in seconds."""
        self._end = end
        self._keep_warm = keep_warm
        self._timeout = timeout
        # guards _waiting, _taken and what is in them, _thread and _closing
        self._wake = threading.Condition()
        self._waiting: list[Retired] = []
        self._taken: dict[Version, Retired] = {}  # until they are replaced again
        self._thread: threading.Thread | None = None
        self._pid = 0  # of the process that the thread is in
        self._closing = False

    def add(self, replaced: Iterable[Version]) -> None:
        """Take versions that no table leads to any more.

        Only those of the last switch stay warm: the older ones end when they are
        drained.
        """
        group = tuple(replaced)
        now = monotonic()
        with self._wake:
            for one in self._waiting:
                one.warm_until = now
            for version in group:
                version.replaced_at = now
                self._taken.pop(version, None)
                self._waiting.append(Retired(version, now, now + self._keep_warm))
            if group:
                self._have_thread()
            self._wake.notify_all()

    def _have_thread(self) -> None:
        if self._thread is None or self._pid != os.getpid():
            self._pid = os.getpid()  # after a fork, the thread is the parent's
            self._thread = threading.Thread(
                target=self._run, name="pointsman-retire", daemon=True
            )
            self._thread.start()

    def take_back(self, match: Callable[[Version], bool]) -> Version | None:
        """Take a version out of retirement to serve again; None if there is none.

        Of those that match, the one that was replaced last.  Its pins are as they
        were; nothing of its code has been told that it was replaced.  ``match`` is
        called under the lock: it must only look.

        The retirement's thread may have found it due at this very moment.  What
        counts is who takes the lock first, because ``_finish`` looks again::

            retirement                        take_back
            _due: drained, and warm enough
                                              takes the lock, finds it not ending,
                                              takes it out of the list
            _finish: takes the lock, does
            not find it in the list, leaves it

        The other way round it is marked as ending under the lock, before its
        ``stop()`` is called, and is not found here.  Who takes back several versions,
        of which one imports from another, must take the imported one first and look
        at all of them before it publishes any: each call is a race of its own.
        """
        with self._wake:
            for one in reversed(self._waiting):
                if not one.ending and match(one.version):
                    self._waiting.remove(one)
                    self._taken[one.version] = one
                    one.version.replaced_at = None
                    return one.version
        return None

    def put_back(self, version: Version) -> None:
        """Return what `take_back` gave and what was not published since.

        It waits as if it had never been away, and so do the others: unlike `add`,
        this is no switch.
        """
        with self._wake:
            one = self._taken.pop(version)
            version.replaced_at = one.since
            self._waiting.append(one)
            self._waiting.sort(key=lambda waiting: waiting.since)
            self._have_thread()
            self._wake.notify_all()

    def waiting(self) -> tuple[Retired, ...]:
        """Return what has not ended yet."""
        with self._wake:
            return tuple(self._waiting)

    def close(self) -> None:
        """End everything that is left, drained or not, in this thread."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
            thread = self._thread if self._pid == os.getpid() else None
        if thread is not None:
            thread.join()
        for one in self.waiting():
            self._finish(one)

    def _run(self) -> None:
        while True:
            with self._wake:
                if not self._closing:  # close() may have come before this thread ran
                    self._wake.wait(self._pause())
                if self._closing:
                    return
            self._finish_due()

    def _finish_due(self) -> None:  # its variables must not outlive the versions
        for one in self._due():
            self._finish(one)

    def _pause(self) -> float | None:
        """Return how long nothing can be due; None while nothing waits."""
        if not self._waiting:
            return None
        if any(not one.drained(self._others()) for one in self._waiting):
            return POLL
        return max(0.0, min(one.warm_until for one in self._waiting) - monotonic())

    def _due(self) -> list[Retired]:
        now = monotonic()
        with self._wake:
            for one in self._waiting:
                if not one.lingering and now - one.since > self._timeout:
                    one.lingering = bool(one.version.pins)
            self._cut_off()
            due = [one for one in self._waiting if one.warm_until <= now]
            return [one for one in due if one.drained(self._others())]

    def _others(self) -> list[Retired]:
        # What was taken back may have requests that see what was replaced with it,
        # until it is published; then its view is the new one.
        return [*self._waiting, *self._taken.values()]

    def _cut_off(self) -> None:
        by_package: dict[str, list[Retired]] = {}
        for one in self._waiting:
            if one.lingering and one.version.pins:
                by_package.setdefault(one.name, []).append(one)
        for name, lingering in by_package.items():
            for one in lingering[:-MOST_LINGERING]:
                for pin, (path, _) in tuple(one.version.pins.items()):
                    if not pin.cut:
                        pin.cut = True
                        _log.warning("%s: cut off %s, which lingers", name, path)

    def _finish(self, one: Retired) -> None:
        with self._wake:
            if one not in self._waiting:  # taken back since it was found due
                return
            one.ending = True
        try:
            faults.point("drained")
            self._end(one.version)
            faults.point("retired")
        except BaseException:  # noqa: BLE001 - the top of this thread: the others must end
            _log.exception("%s: could not be retired", one.name)
        with self._wake:
            self._waiting.remove(one)
