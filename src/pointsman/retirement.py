"""The end of replaced versions: drained, kept warm, stopped, forgotten.  Engine."""

from __future__ import annotations

import logging
import os
import threading
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

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
    """Waits for what was replaced, and ends it.  `add` from any thread.

    Its own thread ends one version at a time; ``end`` runs the service's code on it.
    """

    def __init__(
        self, end: Callable[[Version], None], *, keep_warm: float, timeout: float
    ) -> None:
        """Call ``end`` once for each version; durations are in seconds."""
        self._end = end
        self._keep_warm = keep_warm
        self._timeout = timeout
        self._wake = threading.Condition()  # guards _waiting, _thread and _closing
        self._waiting: list[Retired] = []
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
                self._waiting.append(Retired(version, now, now + self._keep_warm))
            if group and (self._thread is None or self._pid != os.getpid()):
                self._pid = os.getpid()  # after a fork, the thread is the parent's
                self._thread = threading.Thread(
                    target=self._run, name="pointsman-retire", daemon=True
                )
                self._thread.start()
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
        if any(not one.drained(self._waiting) for one in self._waiting):
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
            return [one for one in due if one.drained(self._waiting)]

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
        try:
            self._end(one.version)
        except Exception:  # noqa: BLE001 - the top of this thread: the others must end
            _log.exception("%s: could not be retired", one.name)
        with self._wake:
            self._waiting.remove(one)
