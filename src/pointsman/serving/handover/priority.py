"""A successor loads with what the processors have left.  Effects.

To start a Python and import everything takes a processor half a second and more, which
the clients of the running server feel where processors are few.  So the thread that
loads runs with SCHED_IDLE (sched(7)) until it is done, and never for longer than
:data:`EASY` seconds: a busy machine must not keep a release from getting ready.

An ordinary user may become idle, but not return, unless RLIMIT_NICE allows a nice
value of 0 (``LimitNICE=+0`` in a systemd unit).  Where there is no way back, nothing is
done.
"""

from __future__ import annotations

import os
import resource
from contextlib import suppress
from pathlib import Path

EASY = 5.0
_CAP_SYS_NICE = 1 << 23  # linux/capability.h
_NICE_OF_ZERO = 20  # getrlimit(2): the limit is 20 minus the nice value


def ease(pid: int) -> None:
    """Let the main thread of a child of ours run when nobody else wants to.

    What it starts, threads and programs, runs as usual.
    """
    with suppress(OSError):
        if os.sched_getscheduler(0) == os.SCHED_OTHER and may_return():
            _set(pid, os.SCHED_IDLE)


def restore() -> None:
    """Let the main thread of this process run as usual again; any thread."""
    with suppress(OSError):
        policy = os.sched_getscheduler(os.getpid()) & ~os.SCHED_RESET_ON_FORK
        if policy == os.SCHED_IDLE:
            _set(os.getpid(), os.SCHED_OTHER)


def _set(pid: int, policy: int) -> None:
    # The flag stays: to take it away is another privilege, and does nothing here.
    flags = policy | os.SCHED_RESET_ON_FORK
    os.sched_setscheduler(pid, flags, os.sched_param(0))


def may_return() -> bool:
    """Tell whether this user may end what :func:`ease` begins."""
    if resource.getrlimit(resource.RLIMIT_NICE)[0] >= _NICE_OF_ZERO:
        return True
    text = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
    lines = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return bool(int(lines.get("CapEff", "0"), 16) & _CAP_SYS_NICE)
