"""One connection of a server that can drain.

Effects, on waitress's channel and task.  What it adds:

* While the server drains, the last answer of a connection says ``Connection: close``
  (RFC 9112, 9.6), but only if no further request has arrived behind it.
* A connection that the client did not ask to close is closed in two steps (RFC 9112,
  9.6): first our half, then, when the client has closed its own or after
  :data:`LINGER` seconds, the rest.  To close at once while bytes of the client are
  unread makes the kernel send a reset, which destroys what the client has not read
  yet: an answer to a refused upload, for one.
"""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from waitress.channel import HTTPChannel
from waitress.task import WSGITask

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from pointsman.serving.listener import DrainState, Listener

LINGER = 2.0
_MOMENT = 0.001  # seconds that the loop waits for a lock, at most
_DISCARD = 65536


class Answer(WSGITask):
    """The answer to one request; runs in a worker thread."""

    channel: Channel

    def build_response_header(self) -> bytes:
        """Announce the end of the connection when this is its last answer."""
        if self.channel.is_last_answer():
            # The application has its environ already; waitress decides by this.
            cast(Any, self.request).headers["CONNECTION"] = "close"
        return super().build_response_header()


class Channel(HTTPChannel):
    """One connection.

    The loop's thread calls everything but :meth:`service`, :meth:`write_soon` and
    :meth:`is_last_answer`, which one worker thread at a time calls.
    """

    task_class = Answer
    if TYPE_CHECKING:  # the types of waitress lack these
        requests_lock: threading.Lock
        _fileno: int | None
        _flush_exception: Callable[[object], object]
        _flush_some: Callable[..., bool]
        outbuf_lock: threading.Condition
    # Our half is closed; what still comes is thrown away until this time.
    linger_until: float | None = None
    # The client itself asked for the end, so it sends nothing more.
    _farewell = False
    # One of ours at the other end: it is no client whose request could be lost.
    _guest = False

    def __init__(
        self,
        server: Listener,
        connection: socket.socket,
        address: object,
        map: dict[int, Any],  # noqa: A002 - waitress's word
    ) -> None:
        """Take over an accepted connection."""
        self.drain: DrainState = server.drain
        self._lingering = server.lingering
        self._tally = server.tally
        # Who has just come has come with a request, even if nothing of it is read.
        self._fresh = True
        self.last_busy = time.monotonic()
        super().__init__(server, connection, address, server.adj, map=map)
        self._note()

    # -- worker threads

    def is_last_answer(self) -> bool:
        """Tell whether the request being answered is the last of the connection."""
        if not self.drain.leaving:
            return False
        with self.requests_lock:
            only = len(self.requests) == 1 and self.request is None
        return only and not self._unread()

    def service(self) -> None:
        """Answer one request."""
        request: Any = self.requests[0]
        self._farewell = request.connection_close and request.error is None
        super().service()
        self.last_busy = time.monotonic()
        self._note()

    def _unread(self) -> bool:
        """Tell whether the client has sent more, for example a pipelined request."""
        connection = self.socket
        if connection is None:
            return False
        try:
            flags = socket.MSG_PEEK | socket.MSG_DONTWAIT
            return bool(connection.recv(1, flags))
        except OSError:
            return False

    def _note(self) -> None:
        """Note how many answers are owed here, if anybody counts them.

        The loop's thread and the worker's call this; the lock keeps the later call
        from being overtaken, and a closed connection's from noting on its number,
        which may be another connection's already.
        """
        if self._guest or not self._tally.counts:
            return
        with self.requests_lock:
            number = self._fileno
            if number is not None and self.connected:
                self._tally.note(number, max(self.pending(), self._fresh))

    # -- the loop's thread

    def be_guest(self) -> None:
        """Be left out of what is counted."""
        self._note_nothing()
        self._guest = True

    def _note_nothing(self) -> None:
        if self._fileno is not None:
            self._tally.forget(self._fileno)

    def received(self, data: bytes) -> bool:
        """Take what the client has sent."""
        self._fresh = False
        taken = bool(super().received(data))
        self._note()
        return taken

    def idle(self) -> bool:
        """Tell whether nothing is received, answered or flushed here."""
        return not (
            self.requests
            or self.request is not None
            or self.total_outbufs_len
            or self.close_when_flushed
            or self.linger_until is not None
        )

    def pending(self) -> int:
        """Count the requests that have begun to arrive and are not wholly answered."""
        if self.linger_until is not None:
            return 0
        unflushed = bool(self.total_outbufs_len) and not self.requests
        return len(self.requests) + unflushed + (self.request is not None)

    def retire(self, now: float, grace: float) -> None:
        """Close the connection if it has been idle for ``grace`` while draining."""
        if not self.idle():
            self.last_busy = now
        elif now - max(self.last_busy, self.drain.since) >= grace and (
            not self._unread()
        ):
            self.handle_close()

    def expire(self, now: float) -> None:
        """Close the connection if its client has not closed it in time."""
        if self.linger_until is not None and now >= self.linger_until:
            self.handle_close()

    def handle_close(self) -> None:
        """Close the connection."""
        self._lingering.discard(self)
        with self.requests_lock:
            self._note_nothing()
            self.connected = False
        super().handle_close()

    def readable(self) -> bool:
        """Tell the loop whether to wait for bytes of the client."""
        return self.linger_until is not None or super().readable()

    def writable(self) -> bool:
        """Tell the loop whether there is something to flush or to close."""
        if self.linger_until is not None:
            return self.will_close
        return super().writable()

    def handle_read(self) -> None:
        """Receive, or throw away what a lingering client sends."""
        if self.linger_until is None:
            super().handle_read()
        else:
            with suppress(BlockingIOError):
                self.recv(_DISCARD)  # the end of the stream closes the channel

    def handle_write(self) -> None:
        """Flush; close in two steps when everything is flushed."""
        self._flush_exception(self._flush())
        if self.will_close:
            self.handle_close()
        elif self.close_when_flushed and not self.total_outbufs_len:
            if self._farewell and not self._unread():
                self.handle_close()
            else:
                self._close_our_half()
        self._note()

    def _flush(self) -> Callable[..., object] | None:
        """Choose how to flush, as HTTPChannel.handle_write does."""
        if not self.requests:
            return self._flush_some
        if self.total_outbufs_len >= self.adj.send_bytes:
            return self._flush_some_if_lockable
        return None

    def _flush_some_if_lockable(self, do_close: bool = True) -> None:  # noqa: FBT001, FBT002
        """Flush what a running request has written, when its thread does not.

        That thread has the lock, and needs the interpreter to go on.  waitress turns to
        poll(2), which returns at once, and so on, some ten thousand times a second; to
        wait for the lock gives the interpreter away.
        """
        if self.outbuf_lock.acquire(timeout=_MOMENT):
            try:
                super()._flush_some_if_lockable(do_close=do_close)  # type: ignore[misc]
            finally:
                self.outbuf_lock.release()

    def _close_our_half(self) -> None:
        self.linger_until = time.monotonic() + LINGER
        self._lingering.add(self)
        self.close_when_flushed = False
        try:
            cast(socket.socket, self.socket).shutdown(socket.SHUT_WR)
        except OSError:
            self.handle_close()
            return
        self.handle_read()
