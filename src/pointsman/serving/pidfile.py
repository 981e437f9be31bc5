"""The pid file that cannot lie.

Effects.  Two lines: the bare pid, for other tools, and the process's start time
(see ``processes``), so that a pid which meanwhile belongs to somebody else is not
believed.  The living server also locks the file.  The lock is a POSIX record lock:
unlike flock(2)'s, a child that the server forks does not inherit it, so no orphan
keeps a dead server's file locked.  Its trap (fcntl(2)): it is lost when its
process closes any descriptor of the file; so nothing in a server opens the file again.

A server that takes over from another one is given the file's descriptor, because it may
have no right to open it.  Such a lock cannot be handed over, so there are two places to
lock, the first two bytes: whoever starts needs both, whoever serves has one, and the
next server locks the other one before it writes its name.  At no moment is the file
unlocked or empty.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.serving.processes import Identity, start_time

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PLACES = (0, 1)
_LENGTH = 32  # two numbers of the kernel's, and their lines


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
        lines = _settled(path).split()
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


def _settled(path: Path) -> str:
    """Return the text; read again until it is the same twice.

    It is replaced in place when another server takes over, and read(2) beside write(2)
    may see a part of each.
    """
    text, former = path.read_text(encoding="ascii"), None
    while text != former:
        text, former = path.read_text(encoding="ascii"), text
    return text


class PidFile:
    """The pid file of a server in this process.  One thread at a time.

    ``place`` is which of the two bytes is locked here.
    """

    def __init__(self, path: Path, descriptor: int, place: int, *, ours: bool) -> None:
        """Use :func:`held`, :func:`locked` or :func:`reserved`.

        It is removed at the end if it is ``ours``.
        """
        self.path, self.descriptor, self._place = path, descriptor, place
        self._is_ours = ours

    def name_us(self) -> None:
        """Write that this process serves.

        Raises:
            OSError: it cannot be written.

        """
        own = Identity.own()
        # Always of one length, and in one write: nobody sees it empty or cut.
        text = f"{own.pid}\n{own.start}\n".ljust(_LENGTH, "\n").encode("ascii")
        os.pwrite(self.descriptor, text, 0)
        os.ftruncate(self.descriptor, len(text))
        self._is_ours = True

    def leave(self) -> None:
        """Leave the file to another server, which has locked it and written to it."""
        self._is_ours = False
        fcntl.lockf(self.descriptor, fcntl.LOCK_UN, 1, self._place)

    def close(self) -> None:
        """Give it back; it is removed if it is ours."""
        if self._is_ours:
            _remove(self.path, self.descriptor)
        os.close(self.descriptor)


@contextmanager
def held(path: Path) -> Iterator[PidFile]:
    """Write and lock the pid file while the caller serves; then remove it.

    A stale file (a dead server's, or a recycled pid) is replaced.

    Raises:
        ReleaseError: a living server has it, or it cannot be written.

    """
    with locked(path) as file:
        file.name_us()
        yield file


@contextmanager
def locked(path: Path) -> Iterator[PidFile]:
    """Lock the pid file like :func:`held`, but leave it to the caller to write it.

    Raises:
        ReleaseError: a living server has it, or it cannot be written.

    """
    file = PidFile(path, _locked(path), _PLACES[0], ours=True)
    try:
        fcntl.lockf(file.descriptor, fcntl.LOCK_UN, 1, _PLACES[1])
        yield file
    finally:
        file.close()


def reserved(path: Path, descriptor: int) -> PidFile:
    """Lock the free place of a file that another server in charge has handed over.

    Raises:
        ReleaseError: there is no free place.

    """
    for place in _PLACES:
        with suppress(OSError):
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, place)
            return PidFile(path, descriptor, place, ours=False)
    raise ReleaseError(f"{path} is locked by two servers already: see who they are")


def _locked(path: Path) -> int:
    """Open and lock the file that is at ``path`` now; return its descriptor."""
    while True:
        descriptor = _open(path)
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, len(_PLACES))
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
