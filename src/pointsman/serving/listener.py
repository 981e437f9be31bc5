"""One listening socket of a server that can drain.

Effects, on waitress's servers: each has its socket, its trigger (the pipe that wakes
the loop) and its channels; all share one map, one dispatcher and one drain.
"""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from waitress import wasyncore
from waitress.server import BaseWSGIServer, TcpWSGIServer, UnixWSGIServer
from waitress.task import ThreadedTaskDispatcher

from pointsman.serving.channel import Channel
from pointsman.serving.lockout import Lockout
from pointsman.serving.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Iterator
    from wsgiref.types import WSGIApplication

    from pointsman.serving.settings import ServerSettings

# How often, and for how many seconds, a queue is emptied before its socket is
# closed: handshakes that were under way need a round trip.
_EMPTYINGS = 20
_HANDSHAKE = 0.1


@dataclass(slots=True)
class DrainState:
    """What a stop has come to, or a stand-by, from which there is a way back.

    ``requested`` and ``cut`` are set by any thread or signal handler, never cleared;
    ``begun`` by the loop; ``standing_by`` by the thread of the hand-over, after
    ``since``.  Each is one assignment, read without a lock.
    """

    requested: bool = False
    cut: bool = False
    begun: bool = False
    standing_by: bool = False
    since: float = 0.0

    @property
    def leaving(self) -> bool:
        """Tell whether each connection shall be given up with its next answer."""
        return self.begun or self.standing_by


class Dispatcher(ThreadedTaskDispatcher):
    """The worker threads."""

    def busy(self) -> int:
        """Count the connections that wait for a worker or have one."""
        with self.lock:
            return len(self.queue) + self.active_count


@dataclass(frozen=True, slots=True)
class Shared:
    """What the listeners of one server have in common."""

    drain: DrainState = field(default_factory=DrainState)
    dispatcher: Dispatcher = field(default_factory=Dispatcher)
    map: dict[int, Any] = field(default_factory=dict)
    # The connections whose clients have yet to close them; the loop's alone.
    lingering: set[Channel] = field(default_factory=set)
    # Where each channel notes its requests, while somebody counts them.
    tally: Tally = field(default_factory=Tally)


class Listener(BaseWSGIServer):
    """Accepts connections; the loop's thread calls everything but pull_trigger."""

    channel_class = Channel
    if TYPE_CHECKING:  # the types of waitress lack these
        effective_host: str
        effective_port: str
        _map: dict[int, Any]
        _fileno: int
    _lockout: Lockout | None = None
    _locked_at = 0.0
    _emptyings = 0
    # Somebody else holds the socket too: then it is never shut down.
    shared = False

    def __init__(
        self,
        application: WSGIApplication,
        listening: socket.socket,
        settings: ServerSettings,
        shared: Shared,
    ) -> None:
        """Start to listen on a socket that is bound.

        Raises:
            OSError: the address was taken between bind(2) and listen(2).

        """
        self.drain = shared.drain
        self.lingering = shared.lingering
        self.tally = shared.tally
        super().__init__(
            application,
            shared.map,
            _sock=listening,
            dispatcher=shared.dispatcher,
            adj=settings.adjustments,
            sockinfo=(listening.family, listening.type, listening.proto, None),
            bind_socket=False,
        )

    @property
    def address(self) -> str:
        """Return where clients reach it, as a URL or a path."""
        if self.family == socket.AF_UNIX:
            return f"unix:{self.effective_port}"
        host = self.effective_host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.effective_port}"

    @property
    def listens(self) -> bool:
        """Tell whether connections are still accepted."""
        return self.socket is not None

    def channels(self) -> Iterator[Channel]:
        """Iterate over the open connections; any thread may."""
        channels: Any = self.active_channels
        return iter(list(channels.values()))

    def handle_accept(self) -> None:
        """Accept every connection that waits, not one for each turn of the loop."""
        if not self._may_accept():
            return
        # A connection is ours before it can be counted: until then, the door is.
        self.tally.note(self._fileno, 0)
        while self._may_accept() and self._accept_one():
            pass
        self.tally.forget(self._fileno)

    def _may_accept(self) -> bool:
        room = len(self._map) < self.adj.connection_limit
        if self.drain.begun:
            return self.listens
        return self.listens and room and not self.drain.standing_by

    def _accept_one(self) -> bool:
        try:
            connection, address = cast(socket.socket, self.socket).accept()
        except ConnectionAbortedError:
            return True
        except OSError as error:
            if not isinstance(error, BlockingIOError):
                self.logger.warning("accept on %s failed: %s", self.address, error)
            return False
        try:
            self.set_socket_options(connection)
        except OSError:
            # The client is gone already.
            connection.close()
            return True
        address = self.fix_addr(address)
        Channel(self, connection, address, self._map)
        return True

    def readable(self) -> bool:
        """Look away while the limit of connections is reached, unless draining.

        On stand-by the queue of the socket is somebody else's.
        """
        wanted = bool(super().readable())
        if self.drain.standing_by and not self.drain.begun:
            return False
        return self.accepting and (wanted or self.drain.begun)

    def look_away(self) -> None:
        """Accept no more; the socket stays with whoever else holds it."""
        wasyncore.dispatcher.close(self)

    def welcome(self, guest: socket.socket) -> None:
        """Answer somebody who did not come through the door."""
        Channel(self, guest, ("127.0.0.1", 0), self._map).be_guest()

    def lock_out(self) -> None:
        """Let nobody new in; who is in the kernel's queue is still accepted."""
        self._lockout = Lockout(cast(socket.socket, self.socket))
        self._locked_at = time.monotonic()

    def close_when_empty(self) -> None:
        """Empty the queue; close the socket as soon as nothing can be in it."""
        if self._lockout is None or not self.listens:
            return
        self.handle_accept()
        if time.monotonic() - self._locked_at < _HANDSHAKE:
            return
        self._emptyings += 1
        if self._lockout.closable() or self._emptyings >= _EMPTYINGS:
            self.del_channel()
            self.accepting, self.socket = False, None
            self._lockout.close()


class TcpListener(Listener, TcpWSGIServer):
    """On an IP socket."""


class UnixListener(Listener, UnixWSGIServer):
    """On a UNIX socket."""


def listener(
    application: WSGIApplication,
    listening: socket.socket,
    settings: ServerSettings,
    shared: Shared,
) -> Listener:
    """Start to listen on a bound socket, whatever its family.

    Raises:
        OSError: the address was taken between bind(2) and listen(2).

    """
    of = UnixListener if listening.family == socket.AF_UNIX else TcpListener
    return of(application, listening, settings, shared)
