"""The pid file that cannot lie.

Effects.  Two lines: the bare pid, for other tools, and the process's start time
(see ``processes``), so that a pid which meanwhile belongs to somebody else is not
believed.  The living server also locks the file.  The lock is a POSIX record lock:
unlike flock(2)'s, a child that the server forks does not inherit it, so no orphan
keeps a dead server's file locked.  Its trap (fcntl(2)): it is lost when its
process closes any descriptor of the file; so nothing in a server opens the file again.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.serving.processes import Identity, start_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Recorded:
    """What a pid file says; ``start`` is None in a file that another tool wrote."""

    pid: int
    start: int | None

    def identity(self) -> Identity | None:
        """Return whom the file names, if it names somebody for certain."""
        return None if self.start is None else Identity(self.pid, self.start)

    def alive(self) -> bool:
        """Tell whether the server that wrote the file lives."""
        identity = self.identity()
        return identity is not None and identity.alive()

    def doubtful(self) -> bool:
        """Tell whether a process of that pid lives that may or may not be meant."""
        return self.start is None and start_time(self.pid) is not None


def read(path: Path) -> Recorded | None:
    """Return what the pid file says; None when there is none or it is empty.

    Raises:
        ReleaseError: the file cannot be read or is no pid file.

    """
    try:
        lines = path.read_text(encoding="ascii").split()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise ReleaseError(f"the pid file {path} cannot be read: {error}") from error
    if not lines:
        return None
    if not all(line.isdigit() for line in lines):
        message = f"{path} is no pid file; name another one with --pid-file"
        raise ReleaseError(message)
    return Recorded(int(lines[0]), int(lines[1]) if len(lines) > 1 else None)


@contextmanager
def held(path: Path) -> Iterator[None]:
    """Write and lock the pid file while the caller serves; then remove it.

    A stale file (a dead server's, or a recycled pid) is replaced.

    Raises:
        ReleaseError: a living server has it, or it cannot be written.

    """
    descriptor = _locked(path)
    try:
        own = Identity.own()
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{own.pid}\n{own.start}\n".encode("ascii"), 0)
        yield
    finally:
        _remove(path, descriptor)
        os.close(descriptor)


def _locked(path: Path) -> int:
    """Open and lock the file that is at ``path`` now; return its descriptor."""
    while True:
        descriptor = _open(path)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(descriptor)
            raise ReleaseError(_in_use(path)) from error
        # Its last owner may have removed the file between our open and our lock.
        if _is_at(descriptor, path):
            return descriptor
        os.close(descriptor)


def _open(path: Path) -> int:
    flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except OSError as error:
        raise ReleaseError(
            f"the pid file {path} cannot be written: {error.strerror}; "
            "make its folder writable or name another file with --pid-file"
        ) from error


def _in_use(path: Path) -> str:
    recorded = read(path)
    who = f" (pid {recorded.pid})" if recorded else ""
    return (
        f"a server is running already with the pid file {path}{who}; "
        "stop it with --stop-daemon or give this one another --pid-file"
    )


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    return os.path.samestat(os.fstat(descriptor), there)


def _remove(path: Path, descriptor: int) -> None:
    """Remove the file if it is still ours; emptied when the folder is not ours.

    After ``--user`` the server may no longer write to the folder; an empty file
    says "nobody" as well as no file.
    """
    if not _is_at(descriptor, path):
        return
    os.ftruncate(descriptor, 0)
    try:
        path.unlink()
    except OSError:
        return
