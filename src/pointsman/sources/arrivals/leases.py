"""Whether somebody has a file open for writing.  Effects."""

from __future__ import annotations

import errno
import fcntl
import os
import signal
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_NO_LEASE = (errno.EACCES, errno.EPERM, errno.EINVAL, errno.ENOLCK, errno.EOPNOTSUPP)


def open_for_writing(path: Path) -> bool | None:
    """Tell whether a process of this machine has a file open for writing.

    None where the kernel does not say so.  Somebody who opens the file for writing
    while we hold the lease waits until we have let go of it, microseconds later;
    the kernel tells us by a signal, and SIGURG is one that nobody dies of (SIGIO
    would end this process).

    Raises:
        OSError: it cannot be opened for reading.

    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY
    try:
        descriptor = os.open(path, flags)
    except BlockingIOError:  # somebody holds a lease to write, a file server for one
        return True
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        if error.errno == errno.EAGAIN:
            return True
        if error.errno in _NO_LEASE:
            return None
        raise
    finally:
        os.close(descriptor)
    return False
