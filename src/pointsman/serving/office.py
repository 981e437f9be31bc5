"""What tells other processes who serves: the pid file, and the desk beside it.

Effects.  Exactly one living server has an office open.  In a hand-over both ends hold
the file and the desk's socket, and only the one in charge writes and answers: first
the successor opens, then the incumbent lets go.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from pointsman.serving import desk, pidfile
from pointsman.serving.status import path_beside

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.serving.desk import Desk
    from pointsman.serving.pidfile import PidFile


class Office:
    """One server's; one thread at a time."""

    def __init__(self, file: PidFile, desk: Desk) -> None:
        """Use :func:`held` or :func:`handed`."""
        self.file, self.desk = file, desk
        #: Whether other processes find this one here.
        self.is_open = False

    def open(self) -> None:
        """Be found here from now on.

        Raises:
            OSError: the pid file cannot be written.

        """
        self.file.name_us()  # questions wait at the desk, which listens already
        self.desk.start()
        self.is_open = True

    def pause(self) -> None:
        """Let the questions wait: who answers them is about to be decided."""
        self.desk.pause()

    def leave(self) -> None:
        """Be found here no more: the successor has opened it."""
        self.file.leave()
        self.is_open = False


@contextmanager
def held(pid_file: Path) -> Iterator[Office]:
    """Have and open the office of ``pid_file`` while the caller serves.

    Raises:
        ReleaseError: a living server has it, or it cannot be made.

    """
    with pidfile.locked(pid_file) as file:
        office = Office(file, desk.opened(pid_file))
        office.open()
        try:
            yield office
        finally:
            office.desk.close(ours=office.is_open)


@contextmanager
def handed(
    pid_file: Path, descriptor: int, listening: socket.socket
) -> Iterator[Office]:
    """Have the office that a server in charge has handed over; it is not open yet.

    Raises:
        ReleaseError: two servers have it already.

    """
    file = pidfile.reserved(pid_file, descriptor)
    office = Office(file, desk.Desk(path_beside(pid_file), listening))
    try:
        yield office
    finally:
        office.desk.close(ours=office.is_open)
        file.close()
