"""The server: waitress's parts, one loop, and a complete drain.

Effects.  waitress's own stop gives its threads five seconds, drops what is queued
and cuts what is not flushed.  Ours, from the call of :meth:`Server.stop`:

1. nobody new gets in; what the kernel has queued is accepted (see ``lockout``);
2. what is running, queued, half received or half flushed is finished, and the last
   answer of each connection says ``Connection: close``;
3. an idle connection is closed after ``keep_alive_grace``: a request that is on its
   way at that moment is still answered;
4. when nothing is left, or ``drain_timeout`` after the call, the loop ends.

A server that **stands by** (:meth:`Server.stand_by`) does 2 and 3 without an end: it
looks away from its sockets, which somebody else serves, and gives its connections up
one by one.  :meth:`Server.resume` makes it accept again, within one turn of the loop.

Timeline of the race that step 3 is for: the client writes a request on an idle
connection at t; we decide to stop at t + 0.1 ms and would close; the request arrives
at t + 0.2 ms and is answered with a reset.  With the grace it is answered.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from typing import TYPE_CHECKING

from waitress import wasyncore

from pointsman.serving.listener import Listener, Shared, listener
from pointsman.serving.sockets import refusal

if TYPE_CHECKING:
    import mmap
    import socket
    from collections.abc import Callable, Iterable, Iterator
    from wsgiref.types import WSGIApplication

    from pointsman.serving.channel import Channel
    from pointsman.serving.settings import ServerSettings
    from pointsman.serving.sockets import Listening

log = logging.getLogger(__name__)
# How long the loop may sleep: nothing but a stop is timed, or somebody waits.
_CALM, _BRISK = 1.0, 0.02


class Server:
    """Serves one application on some sockets until it is stopped.

    :meth:`run` belongs to one thread, :meth:`stand_by`, :meth:`resume` and
    :meth:`share` to the one of the hand-over.  All else may be called by any thread,
    and :meth:`stop` and :meth:`cut` by signal handlers: they set a flag and wake the
    loop.
    """

    def __init__(
        self,
        application: WSGIApplication,
        settings: ServerSettings,
        listening: Listening,
        *,
        standing_by: bool = False,
    ) -> None:
        """Start to listen and start the workers; clients wait until ``run``.

        With ``standing_by`` they wait for somebody else, until :meth:`resume`.

        Raises:
            ReleaseError: an address was taken in the last moment.

        """
        self.settings = settings
        #: Where its sockets come from, see ``sockets``.
        self.origin = listening.origin
        self.unanswered = 0
        #: Called in the loop's thread when a stop begins.
        self.on_drain: Callable[[], object] = lambda: None
        self._ended = False
        self._guests: queue.SimpleQueue[socket.socket] = queue.SimpleQueue()
        self._aside = threading.Event()
        parts = Shared()
        self._drain, self._map, self._tally = parts.drain, parts.map, parts.tally
        self._drain.standing_by = standing_by
        self._dispatcher, self._lingering = parts.dispatcher, parts.lingering
        self._dispatcher.set_thread_count(settings.adjustments.threads)
        self._listeners: list[Listener] = []
        for each in listening.sockets:
            self._listen(application, each, parts)
            self._listeners[-1].shared = each in listening.shared
        self.addresses = tuple(each.address for each in self._listeners)

    def _listen(
        self, application: WSGIApplication, bound: socket.socket, parts: Shared
    ) -> None:
        try:
            made = listener(application, bound, self.settings, parts)
        except OSError as error:
            self._close()
            address = ":".join(map(str, bound.getsockname()[:2]))
            raise refusal(error, address, self.settings) from error
        self._listeners.append(made)

    def run(self) -> None:
        """Serve until stopped and drained; afterwards everything is closed."""
        try:
            while not self._over():
                wasyncore.poll2(self._patience(), self._map)
                self._turn(time.monotonic())
        finally:
            self.unanswered = self.in_flight()
            self._close()

    def stop(self) -> None:
        """Ask for a graceful stop; returns at once.  Any thread, signal handlers."""
        self._drain.requested = True
        self._wake()

    def cut(self) -> None:
        """Ask to stop at once, whatever runs.  Any thread, signal handlers."""
        self._drain.cut = True
        self._wake()

    @property
    def draining(self) -> bool:
        """Tell whether a stop was asked for."""
        return self._drain.requested

    @property
    def was_cut(self) -> bool:
        """Tell whether it was stopped at once."""
        return self._drain.cut

    # -- beside another server

    @property
    def stands_by(self) -> bool:
        """Tell whether somebody else serves its sockets at the moment."""
        return self._drain.standing_by

    def stand_by(self, timeout: float) -> bool:
        """Leave the sockets to somebody else; tell whether the loop has done so."""
        self._aside.clear()
        self._drain.since = time.monotonic()
        self._drain.standing_by = True
        self._wake()
        return self._aside.wait(timeout)

    def resume(self) -> None:
        """Accept again; returns at once."""
        self._drain.standing_by = False
        self._wake()

    def share(self, shared: Iterable[int]) -> None:
        """Set which listening sockets, by their number, somebody else has as well."""
        numbers = frozenset(shared)
        for number, each in enumerate(self._listeners):
            each.shared = number in numbers

    def count_on(self, page: mmap.mmap | None) -> None:
        """Note on ``page`` how many answers are owed; before the first connection.

        None: nobody reads it any more.
        """
        if page is None:
            self._tally.end()
        else:
            self._tally.begin(page)

    def welcome(self, guest: socket.socket) -> None:
        """Answer the requests on a connection of our own; it is closed here.  Any."""
        self._guests.put(guest)
        self._wake()

    def in_flight(self) -> int:
        """Count the requests that were begun and are not wholly answered.

        A request whose client has gone counts while its service runs.
        """
        pending = sum(channel.pending() for channel in self._channels())
        return max(pending, self._dispatcher.busy())

    def duplicates(self) -> list[socket.socket]:
        """Return duplicates of the listening sockets; the caller closes them."""
        listening = [each.socket for each in self._listeners]
        return [each.dup() for each in listening if each is not None]

    def _wake(self) -> None:
        # The pipe of an ended server is closed, and its number may be another's.
        if not self._ended:
            self._listeners[0].pull_trigger()

    def _channels(self) -> Iterator[Channel]:
        for each in self._listeners:
            yield from each.channels()

    # -- the loop

    def _patience(self) -> float:
        if self._drain.requested or self._lingering:
            return _BRISK
        # On stand-by somebody may have to be let go, as long as anybody is here.
        waits = self._drain.standing_by and any(True for _ in self._channels())
        return _BRISK if waits else _CALM

    def _turn(self, now: float) -> None:
        """Do what the clock or a stop asks for."""
        for channel in list(self._lingering):
            channel.expire(now)
        while not self._guests.empty():
            self._listeners[0].welcome(self._guests.get())
        if self._drain.standing_by:
            self._aside.set()
        elif not self._drain.requested:
            return
        if self._drain.requested:
            if not self._drain.begun:
                self._begin(now)
            for each in self._listeners:
                each.close_when_empty()
        for channel in self._channels():
            channel.retire(now, self.settings.keep_alive_grace)

    def _begin(self, now: float) -> None:
        self._drain.since = now
        self._drain.begun = True
        self.on_drain()
        log.info(
            "stopping: %d requests in flight, at most %g s",
            self.in_flight(),
            self.settings.drain_timeout,
        )
        for each in self._listeners:
            if each.shared:
                each.look_away()
            else:
                each.lock_out()

    def _over(self) -> bool:
        if self._drain.cut:
            return True
        if not self._drain.begun:
            return False
        return self._empty() or self._too_late()

    def _empty(self) -> bool:
        return (
            not any(each.listens for each in self._listeners)
            and not any(True for _ in self._channels())
            and not self._dispatcher.busy()
        )

    def _too_late(self) -> bool:
        late = time.monotonic() - self._drain.since >= self.settings.drain_timeout
        if late:
            log.warning(
                "stopping: drain_timeout is over, %d requests are cut",
                self.in_flight(),
            )
        return late

    def _close(self) -> None:
        """Close what is left; worker threads that still run are left behind."""
        self._ended = True
        patience = 0 if self._drain.cut else 1
        self._dispatcher.shutdown(cancel_pending=True, timeout=patience)
        for each in self._listeners:
            if each.listens and not each.shared:
                each.lock_out()
        wasyncore.close_all(self._map, ignore_all=True)
        self._map.clear()
