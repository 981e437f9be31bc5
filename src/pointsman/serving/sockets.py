"""Where the listening sockets come from: systemd, a supervisor, or bind(2).

Effects.  Whoever serves asks :func:`opened` and does not care.  Hand-over between
releases will be a fourth origin: the starting release asks the running one, over the
socket that ``status`` describes, and gets descriptors (SCM_RIGHTS, unix(7)), which
end here as :func:`adopted` ones.

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
    """Sockets to accept from, in the order of the settings."""

    sockets: tuple[socket.socket, ...]
    shared: bool
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
    adjustments = settings.adjustments
    if adjustments.unix_socket:
        found = [_unix(adjustments.unix_socket, adjustments.unix_socket_perms)]
    else:
        found = _bound(settings)
    return Listening(_kept_from_children(found), shared=False, origin="bind")


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
    return Listening(_kept_from_children(sockets), shared=True, origin=origin)


def _listens(candidate: socket.socket) -> bool:
    accepts = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    return bool(accepts) and candidate.type == socket.SOCK_STREAM


def _not_listening(descriptor: int, origin: str) -> str:
    return (
        f"descriptor {descriptor} from {origin} is no listening stream socket; "
        "use ListenStream= and Accept=no in the socket unit"
    )


def _bound(settings: ServerSettings) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    wanted = cast(list[tuple[int, int, int, Any]], settings.adjustments.listen)
    for family, kind, protocol, address in wanted:
        try:
            new = socket.socket(family, kind, protocol)
            sockets.append(new)
            if family == socket.AF_INET6:
                new.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            new.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            new.bind(address)
        except OSError as error:
            _close(sockets)
            raise refusal(error, f"{address[0]}:{address[1]}", settings) from error
    return sockets


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
