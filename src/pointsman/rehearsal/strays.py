"""Processes that a rehearsal, or its helper, leaves behind.  Effects.

A process whose parent has ended becomes a child of its nearest *subreaper*
(prctl(2)).  The helper is one, so it finds all that was started in a rehearsal,
whatever sessions and groups those have made for themselves.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_prctl = ctypes.CDLL(None).prctl


def adopt() -> None:
    """Become the parent of all orphans below this process."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_with(parent: int) -> None:
    """Be killed as soon as ``parent``, which has forked this process, is gone."""
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it was gone before
        os._exit(1)


def kill() -> None:
    """Kill all children of this process, and theirs; returns when they are gone."""
    while children := _children():
        for pid in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for pid in children:
            with contextlib.suppress(ChildProcessError):
                os.waitpid(pid, 0)


def _children() -> list[int]:
    me = os.getpid()
    try:
        text = Path(f"/proc/self/task/{me}/children").read_text("ascii")
    except OSError:  # a kernel without CONFIG_PROC_CHILDREN
        return []
    return [int(pid) for pid in text.split()]
