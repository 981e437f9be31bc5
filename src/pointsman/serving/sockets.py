"""Where the listening sockets come from: systemd, a supervisor, or bind(2).

Effects.  Whoever serves asks :func:`opened` and does not care.  The fourth origin is
the server that ran before (``handover.inheritance``).

A socket that another process holds too (*shared*) is never shut down: whoever stops
only looks away from it, and its queue waits for the next server.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import weakref
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pointsman.errors import ConfigError, ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterable, MutableMapping

    from pointsman.serving.settings import ServerSettings

# The first descriptor that sd_listen_fds(3) hands over.
_FIRST = 3
_children_close: weakref.WeakSet[socket.socket] = weakref.WeakSet()
# The files that our UNIX sockets made: a later server may have replaced them.
_files: weakref.WeakKeyDictionary[socket.socket, os.stat_result] = (
    weakref.WeakKeyDictionary()
)


@dataclass(frozen=True, slots=True)
class Listening:
    """Sockets to accept from, in the order of the settings.

    Those that are ``shared`` have another holder, who serves them when we are gone.
    """

    sockets: tuple[socket.socket, ...]
    shared: frozenset[socket.socket]
    origin: str


def opened(settings: ServerSettings) -> Listening:
    """Return the sockets that this process shall listen on.

    Sockets from systemd win over the settings' addresses.  They may not listen yet.

    Raises:
        ConfigError, ReleaseError: an address cannot be had.

    """
    handed = from_systemd(os.environ)
    if handed:
        return adopted(handed, "systemd")
    found: list[socket.socket] = []
    try:
        for each in wanted(settings):
            found.append(bound(each, settings))  # noqa: PERF401 - to be closed
    except ReleaseError:
        _close(found)
        raise
    return Listening(_kept_from_children(found), frozenset(), origin="bind")


def from_systemd(environ: MutableMapping[str, str]) -> list[int]:
    """Return the descriptors that systemd passed to this very process.

    As sd_listen_fds(3) with ``unset_environment``: ``LISTEN_PID`` must name us, the
    variables are removed so that no child believes them, and the descriptors are
    closed on exec.

    Raises:
        ConfigError: the variables hold no numbers.

    """
    pid, count = environ.get("LISTEN_PID"), environ.get("LISTEN_FDS")
    if pid is None or count is None or pid != str(os.getpid()):
        return []
    for name in ("LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"):
        environ.pop(name, None)
    if not count.isdecimal():
        raise ConfigError(f"LISTEN_FDS={count!r} in the environment is no number")
    return list(range(_FIRST, _FIRST + int(count)))


def adopted(descriptors: Iterable[int], origin: str) -> Listening:
    """Take over listening sockets that another process opened and keeps.

    Raises:
        ConfigError: a descriptor is no listening stream socket.

    """
    sockets: list[socket.socket] = []
    for descriptor in descriptors:
        try:
            os.set_inheritable(descriptor, False)  # noqa: FBT003 - no keyword
            sockets.append(socket.socket(fileno=descriptor))
            listens = _listens(sockets[-1])
        except OSError:
            listens = False
        if not listens:
            _close(sockets)
            raise ConfigError(_not_listening(descriptor, origin))
    return Listening(_kept_from_children(sockets), frozenset(sockets), origin=origin)


def _listens(candidate: socket.socket) -> bool:
    accepts = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(accepts) and candidate.type == socket.SOCK_STREAM


def _not_listening(descriptor: int, origin: str) -> str:
    return (
        f"descriptor {descriptor} from {origin} is no listening stream socket; "
        "use ListenStream= and Accept=no in the socket unit"
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """An address of the settings; ``address`` is a path for a UNIX socket."""

    family: int
    protocol: int
    address: Any


def wanted(settings: ServerSettings) -> list[Wanted]:
    """Return the addresses to listen on, in the order of the settings."""
    adjustments = settings.adjustments
    if adjustments.unix_socket:
        return [Wanted(socket.AF_UNIX, 0, adjustments.unix_socket)]
    listen = cast(list[tuple[int, int, int, Any]], adjustments.listen)
    return [Wanted(family, protocol, at) for family, _, protocol, at in listen]


def bound(wanted: Wanted, settings: ServerSettings) -> socket.socket:
    """Bind a new socket; it does not listen yet.

    Raises:
        ReleaseError: the machine does not give the address.

    """
    if wanted.family == socket.AF_UNIX:
        return _unix(wanted.address, settings.adjustments.unix_socket_perms)
    new = socket.socket(wanted.family, socket.SOCK_STREAM, wanted.protocol)
    try:
        if wanted.family == socket.AF_INET6:
            new.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        new.bind(wanted.address)
    except OSError as error:
        new.close()
        address = f"{wanted.address[0]}:{wanted.address[1]}"
        raise refusal(error, address, settings) from error
    return new


def taken_over(
    found: Iterable[socket.socket], shared: Iterable[socket.socket], origin: str
) -> Listening:
    """Listen on sockets of which another server has the ``shared`` ones as well.

    It removes no file of theirs, so that is ours to do.
    """
    shared = frozenset(shared)
    for each in shared:
        if each.family == socket.AF_UNIX:
            with suppress(OSError):
                _files[each] = Path(each.getsockname()).stat()
    return Listening(_kept_from_children(found), shared, origin)


def refusal(error: OSError, address: str, settings: ServerSettings) -> ReleaseError:
    """Return the sentence for an address that the machine does not give."""
    place = settings.place
    where = f"[{place.section}] of {place.file}"
    reasons = {
        errno.EADDRINUSE: (
            "the port is in use; stop the server that has it or give another "
            f"port in {where}"
        ),
        errno.EACCES: (
            "the port is not allowed for this user; take one above 1023 in "
            f"{where}, or start as root with --user"
        ),
        errno.EADDRNOTAVAIL: (
            f"this machine has no such address; correct host or listen in {where}"
        ),
    }
    reason = reasons.get(error.errno or 0, f"{error.strerror}; see {where}")
    return ReleaseError(f"cannot listen on {address}: {reason}")


def _unix(path: str, mode: int) -> socket.socket:
    """Bind a UNIX socket; what a dead server left there is replaced."""
    new = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _make_room(path)
        # Linux takes the socket's own mode for the file: no moment with a wider one.
        os.fchmod(new.fileno(), mode)
        new.bind(path)
    except OSError as error:
        new.close()
        raise ReleaseError(f"cannot listen on {path}: {error}") from error
    Path(path).chmod(mode)
    _files[new] = Path(path).stat()
    return new


def remove_file(unix: socket.socket) -> None:
    """Remove the file of a UNIX socket that we bound, unless it is another's now."""
    path, ours = Path(unix.getsockname()), _files.get(unix)
    with suppress(OSError):
        if ours is not None and os.path.samestat(path.stat(), ours):
            path.unlink()


def _make_room(path: str) -> None:
    """Remove a socket file that nobody listens on."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise OSError(errno.EEXIST, "there is a file that is no socket", path)
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with probe:
        try:
            probe.connect(path)
        except FileNotFoundError:
            return
        except ConnectionRefusedError:
            Path(path).unlink()
            return
    raise OSError(errno.EADDRINUSE, "a server listens there already", path)


def own_listening() -> list[socket.socket]:
    """Return duplicates of this process's listening sockets; the caller closes them.

    For servers that are not ours and cannot be asked.
    """
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers, not paths
        with suppress(OSError):
            candidate = socket.socket(fileno=os.dup(int(name)))
            if candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                found.append(candidate)
            else:
                candidate.close()
    return found


def _kept_from_children(sockets: Iterable[socket.socket]) -> tuple[socket.socket, ...]:
    """See to it that forked children close their copies.

    A child that never execs would hold the port after our end, and clients would
    connect to nobody.
    """
    kept = tuple(sockets)
    _children_close.update(kept)
    return kept


def _close(sockets: Iterable[socket.socket]) -> None:
    for each in sockets:
        each.close()


os.register_at_fork(after_in_child=lambda: _close(list(_children_close)))
