"""One command at a time changes a site; the others hear whose turn it is.  Effects."""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.releases import events, sites

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@contextmanager
def locked(path: Path, what: str, now: float) -> Iterator[None]:
    """Hold the lock file while the caller works; it tells who does what, since when.

    The kernel ends the lock with the process, however that ends; the text stays, and
    nobody reads it then.  Programs that are executed meanwhile do not inherit it.

    Raises:
        ReleaseError: another process has it, or it cannot be opened.

    """
    with sites.told(path, f"{what} has failed"):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ReleaseError(_busy(path)) from error
        holder = {
            "what": what,
            "who": sites.operator(),
            "pid": os.getpid(),
            "at": events.utc(now),
        }
        # On a full disk nobody hears who it is, and what makes room can run.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, json.dumps(holder).encode("ascii"), 0)
        yield
    finally:
        os.close(descriptor)


def _busy(path: Path) -> str:
    site = path.parent.parent
    try:
        holder = json.loads(path.read_bytes())
        who = "`{what}` of {who}, pid {pid}, since {at}".format_map(holder)
    except (ValueError, KeyError, OSError):  # it has just begun
        who = "another command"
    return f"{who} is changing {site}; wait for its end"
