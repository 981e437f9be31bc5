"""Which process is which: a pid alone is not a name, pid and start time are.

Effects: reads ``/proc``.  The kernel gives a pid to another process as soon as
the first one is gone; the start time (``/proc/PID/stat``, field 22, in clock
ticks since boot, see proc(5)) tells the two apart.
"""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from select import POLLIN, poll
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import signal
    from collections.abc import Iterator

# Fields of /proc/PID/stat, counted from the state, which follows the command's
# closing bracket (the command itself may hold blanks and brackets).
_STATE, _START = 0, 19


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, for ever: ``start`` is in clock ticks since boot."""

    pid: int
    start: int

    @classmethod
    def own(cls) -> Identity:
        """Return the calling process's."""
        pid = os.getpid()
        start = start_time(pid)
        if start is None:  # /proc is not mounted
            start = 0
        return cls(pid, start)

    def alive(self) -> bool:
        """Tell whether this very process lives; a zombie and a namesake do not."""
        return start_time(self.pid) == self.start


def start_time(pid: int) -> int | None:
    """Return when the process ``pid`` started, or None when none lives."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[_STATE] in "ZX" else int(fields[_START])


def uptime(identity: Identity) -> float:
    """Return for how many seconds the process has been running."""
    booted = time.clock_gettime(time.CLOCK_BOOTTIME)
    return max(0.0, booted - identity.start / os.sysconf("SC_CLK_TCK"))


class Handle:
    """A hold on one living process: signals through it never reach a namesake."""

    def __init__(self, descriptor: int) -> None:
        """Use :func:`hold`; it opens and closes the pidfd."""
        self._descriptor = descriptor

    def send(self, number: signal.Signals) -> None:
        """Send a signal; nothing happens when the process is gone.

        Raises:
            PermissionError: the process belongs to somebody else.

        """
        from signal import pidfd_send_signal  # noqa: PLC0415 - not on every system

        try:
            pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return

    def gone(self, within: float) -> bool:
        """Wait until the process has ended, at most ``within`` seconds."""
        waiter = poll()
        waiter.register(self._descriptor, POLLIN)
        return bool(waiter.poll(max(0.0, within) * 1000))


@contextmanager
def hold(identity: Identity) -> Iterator[Handle | None]:
    """Take hold of a process; yields None when it does not live (any more).

    First the handle, then the look at the start time: from then on the pid
    cannot become somebody else's behind our back (pidfd_open(2)).
    """
    try:
        descriptor = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        yield None
        return
    try:
        yield Handle(descriptor) if identity.alive() else None
    finally:
        os.close(descriptor)
