"""Which of the sockets that were handed over a server wants.  Effects.

Its settings name addresses.  One that a handed socket is bound to is taken over; one
that is new is bound; a socket that nobody wants any more stays with the incumbent,
which closes it when it drains.  The sockets of systemd are wanted in any case.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pointsman.errors import ReleaseError
from pointsman.serving import sockets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.serving.settings import ServerSettings
    from pointsman.serving.sockets import Listening

BOUND = "bind"


def matched(
    settings: ServerSettings, handed: Sequence[socket.socket], origin: str
) -> tuple[tuple[int, ...], Listening]:
    """Return which of the handed sockets are kept, by number, and what to listen on.

    Raises:
        ReleaseError: a new address cannot be had.

    """
    if origin != BOUND:
        numbers = tuple(range(len(handed)))
        return numbers, sockets.taken_over(handed, handed, origin)
    kept: list[int] = []
    found: list[socket.socket] = []
    try:
        for wanted in sockets.wanted(settings):
            number = _number(wanted, handed, kept)
            if number is None:
                found.append(sockets.bound(wanted, settings))
            else:
                kept.append(number)
                found.append(handed[number])
    except ReleaseError as error:
        raise _explained(error, wanted, handed) from error
    shared = [handed[number] for number in kept]
    for number, each in enumerate(handed):
        if number not in kept:
            each.close()
    return tuple(kept), sockets.taken_over(found, shared, origin)


def _number(
    wanted: sockets.Wanted, handed: Sequence[socket.socket], taken: Sequence[int]
) -> int | None:
    for number, each in enumerate(handed):
        if number not in taken and _is_bound_to(each, wanted):
            return number
    return None


def _is_bound_to(handed: socket.socket, wanted: sockets.Wanted) -> bool:
    if handed.family != wanted.family:
        return False
    name: Any = handed.getsockname()
    if handed.family == socket.AF_UNIX:
        return Path(name).absolute() == Path(cast(str, wanted.address)).absolute()
    host, port = wanted.address[:2]
    return bool(name[0] == host and port in {0, name[1]})


def _explained(
    error: ReleaseError, wanted: sockets.Wanted, handed: Sequence[socket.socket]
) -> ReleaseError:
    """Say so when it is the running server itself that has the port."""
    names = [each.getsockname() for each in handed if each.family != socket.AF_UNIX]
    for host, port, *_ in names:
        if wanted.family != socket.AF_UNIX and port == wanted.address[1]:
            return ReleaseError(
                f"{error} (the running server listens on {host}:{port}: an address "
                "that overlaps with it needs a stop and a start)"
            )
    return error
