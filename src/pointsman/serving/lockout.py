"""Closing the door without hitting whoever stands in it.

Effects.  close(2) on a listening socket resets every connection that the kernel has
completed and nobody has accepted.  To accept them all first is not enough, because
another one may arrive between the last accept(2) and the close.  So the door is
locked from outside first, then the queue is emptied, then the socket is closed.

TCP, where allowed (CAP_NET_ADMIN on recent kernels): a socket filter drops the
first packet of new handshakes (SYN without ACK), and lets those under way finish.
Elsewhere the queue is plugged: with a backlog of 0 the kernel drops new handshakes
while one connection waits, and that one is our own.  UNIX: the path is removed.

A client that is locked out sends its SYN again after a second and finds the next
server, or is refused.
"""

from __future__ import annotations

import ctypes
import errno
import socket
import struct
from contextlib import suppress

from pointsman.serving import sockets

_SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it
_TCP_ESTABLISHED = 1
# struct tcp_info (linux/tcp.h): tcpi_state is its first byte; tcpi_unacked, of a
# listening socket the length of its accept queue, is its fifth 32-bit field after
# eight bytes of small ones.
_UNACKED = 24


class _Instruction(ctypes.Structure):
    """struct sock_filter (linux/filter.h)."""

    _fields_ = (
        ("code", ctypes.c_ushort),
        ("jt", ctypes.c_ubyte),
        ("jf", ctypes.c_ubyte),
        ("k", ctypes.c_uint),
    )


# A packet starts with its TCP header here; byte 13 holds the flags.
_NO_SYN = (_Instruction * 5)(
    _Instruction(0x30, 0, 0, 13),  # A = flags
    _Instruction(0x54, 0, 0, 0x12),  # A &= SYN | ACK
    _Instruction(0x15, 0, 1, 0x02),  # if A == SYN: next, else skip one
    _Instruction(0x06, 0, 0, 0),  # drop
    _Instruction(0x06, 0, 0, 0xFFFFFFFF),  # keep
)


class Lockout:
    """One listening socket on its way out; used by the server's loop only."""

    def __init__(self, listener: socket.socket) -> None:
        """Lock the door; what stands in it can still be accepted."""
        self._listener = listener
        self._plug: socket.socket | None = None
        self._filtered = False
        if listener.family == socket.AF_UNIX:
            sockets.remove_file(listener)
        else:
            self._filtered = _filter(listener)

    def closable(self) -> bool:
        """Tell, after the queue was emptied, whether nothing can be in it now.

        When it returns False: empty the queue and ask again.
        """
        if self._filtered or self._listener.family == socket.AF_UNIX:
            return True
        return self._plugged()

    def close(self) -> None:
        """Close the listening socket, for every process that holds it."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        if self._plug is not None:
            self._plug.close()

    def _plugged(self) -> bool:
        """Try to be the only one in the queue."""
        self._listener.listen(0)
        if self._plug is not None:
            self._plug.close()
        self._plug = socket.socket(self._listener.family, socket.SOCK_STREAM)
        self._plug.setblocking(False)  # noqa: FBT003 - no keyword
        with suppress(BlockingIOError):
            self._plug.connect(_reachable(self._listener))
        # Established here is not yet queued there: only an acknowledged byte is.
        try:
            self._plug.send(b"\0")
        except OSError:
            return False
        return (
            _queue_length(self._plug) == 0
            and _state(self._plug) == _TCP_ESTABLISHED
            and _queue_length(self._listener) == 1
        )


def _filter(listener: socket.socket) -> bool:
    program = struct.pack("H6xP", len(_NO_SYN), ctypes.addressof(_NO_SYN))
    try:
        listener.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
    except OSError as error:
        if error.errno in {errno.EPERM, errno.EACCES, errno.ENOPROTOOPT}:
            return False
        raise
    return True


def _reachable(listener: socket.socket) -> tuple[str, int]:
    host, port = listener.getsockname()[:2]
    return ({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104


def _information(of: socket.socket) -> bytes:
    return of.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)


def _state(of: socket.socket) -> int:
    return _information(of)[0]


def _queue_length(of: socket.socket) -> int:
    (length,) = struct.unpack_from("I", _information(of), _UNACKED)
    return int(length)
