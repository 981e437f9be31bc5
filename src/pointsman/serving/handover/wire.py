"""What an incumbent and its successor say to each other.  Effects.

A pair of sockets that keeps messages apart (SOCK_SEQPACKET, unix(7)); each message is
one JSON object, some with descriptors (SCM_RIGHTS).  The successor finds its end by
the number in ``POINTSMAN_HANDOVER_FD``.

=============================== =====================================================
from the incumbent (``do``)     means
=============================== =====================================================
``inherit``                     who the incumbent is, and the descriptors: the page,
                                the pid file, the desk, the listening sockets
``serve``                       accept, beside the incumbent; answered by ``serving``
``report``                      answered by ``health``
``stand by``                    accept no more: it has been taken back
``commit``                      be in charge; answered by ``committed``
=============================== =====================================================

=============================== =====================================================
from the successor (``said``)   means
=============================== =====================================================
``loading``                     who it is: pid, release, tree
``ready``                       it has answered a request of its own; which of the
                                sockets it listens on, and its ``drain_timeout``
``failed``                      why it cannot start, with a traceback
``ended``                       how many requests its end has cut
=============================== =====================================================

Unknown messages are left alone, so that releases of different ages get along.
"""

from __future__ import annotations

import json
import os
import select
import socket
import weakref
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

VARIABLE = "POINTSMAN_HANDOVER_FD"
#: What both understand; said with ``inherit``, for releases to come.
VERSION = 1
_LONGEST, _MOST_DESCRIPTORS = 1 << 17, 64
_LONGEST_TEXT = 1 << 15
_open: weakref.WeakSet[Wire] = weakref.WeakSet()


class Wire:
    """One end.  One thread receives, any may say."""

    def __init__(self, end: socket.socket) -> None:
        """Own ``end`` from now on; children that are forked close their copies."""
        self._end = end
        _open.add(self)

    def fileno(self) -> int:
        """Return the number to wait for."""
        return self._end.fileno()

    def say(self, descriptors: Iterable[int] = (), **words: Any) -> bool:
        """Send one message; tell whether the other one may have got it."""
        message = json.dumps({key: _short(value) for key, value in words.items()})
        with suppress(OSError):
            socket.send_fds(self._end, [message.encode()], list(descriptors))
            return True
        return False

    def receive(self, timeout: float) -> tuple[dict[str, Any], Sequence[int]] | None:
        """Return the next message and its descriptors.

        None: the other end is closed.  An empty message: there was none in time.
        """
        waiter = select.poll()
        waiter.register(self._end, select.POLLIN)
        if not waiter.poll(max(0.0, timeout) * 1000):
            return {}, ()
        try:
            text, descriptors, _, _ = socket.recv_fds(
                self._end, _LONGEST, _MOST_DESCRIPTORS, socket.MSG_CMSG_CLOEXEC
            )
        except OSError:
            return None
        if not text:
            return None
        message = json.loads(text)
        return (message if isinstance(message, dict) else {}), descriptors

    def close(self) -> None:
        """Hang up."""
        self._end.close()


def _short(value: Any) -> Any:
    """Cut texts that no message has room for, at their beginning."""
    return value[-_LONGEST_TEXT:] if isinstance(value, str) else value


def pair() -> tuple[Wire, socket.socket]:
    """Return our end, and the one for a child that is about to be started."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    return Wire(ours), theirs


def _forget() -> None:
    for each in list(_open):
        each.close()


os.register_at_fork(after_in_child=_forget)
