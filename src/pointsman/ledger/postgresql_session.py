"""The one connection of a process that stays: it hears, and it vouches.  Effects.

PostgreSQL tells of changes by NOTIFY, on a connection that listens, and lets go of
the advisory locks of a connection when that ends.  So one connection of each process
listens, and holds a lock for each of its nodes: as long as the lock is held, somebody
is there.  It is made again where it breaks; meanwhile its ledger is polled.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import select
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import psycopg

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

#: What nodes listen to.
CHANNEL: Final = "pointsman"

#: After how many seconds a connection is tried again, and how often it is looked
#: without one.
AGAIN: Final = 1.0

_counts = itertools.count(1)

_HOLD: Final = "SELECT pg_try_advisory_lock(%s)"
_RELEASE: Final = "SELECT pg_advisory_unlock(%s)"


def key_of(node: str) -> int:
    """Return the number of the lock that vouches for a node: 64 bits, signed."""
    digest = hashlib.sha256(f"pointsman node {node}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)


class Session:
    """Listens, and holds locks.  Any thread, but for `told`: one at a time.

    The lock guards all fields.
    """

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        """Connect with ``connect``, when it is first needed."""
        self._connect = connect
        self._lock = threading.RLock()
        self._connection: psycopg.Connection[Any] | None = None
        self._held: set[str] = set()
        self._told = False
        self._next = 0.0  # not before that is it tried, or looked, again
        self._count = 0  # which connection it is, in this process

    @property
    def number(self) -> int:
        """Return which connection of this process it has; 0 is none."""
        with self._lock:
            return 0 if self._connection is None else self._count

    @property
    def descriptor(self) -> int | None:
        """Return what is readable when something is told; None without connection."""
        with self._lock:
            return None if self._connection is None else self._connection.fileno()

    def told(self, nodes: Collection[str]) -> bool:
        """Tell whether anything was told since the last call, or may have been.

        ``nodes`` are those to vouch for.
        """
        with self._lock:
            self.drain()
            if self._connection is None:
                if monotonic() < self._next:
                    return False
                self._begin()
                self._told = True
            self._vouch(nodes)
            told, self._told = self._told, False
            return told

    def drain(self) -> bool:
        """Take what has come; tell whether it is worth a look."""
        with self._lock:
            if self._connection is None:
                return False
            raw = self._connection.pgconn
            try:
                raw.consume_input()
                while raw.notifies() is not None:
                    self._told = True
            except psycopg.Error:
                self._drop()
            return self._told

    def vouch(self, nodes: Iterable[str]) -> None:
        """Hold the locks of these, where that can be done now."""
        with self._lock:
            if self._connection is None and monotonic() >= self._next:
                self._begin()
            self._vouch(nodes)

    def withdraw(self, node: str) -> None:
        """Hold a lock no more."""
        with self._lock:
            if node in self._held and self._connection is not None:
                self._held.discard(node)
                self._tried(lambda raw: raw.execute(_RELEASE, [key_of(node)]))

    def close(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._drop()
            self._next = 0.0

    def _vouch(self, nodes: Iterable[str]) -> None:
        for node in nodes:
            if node not in self._held and self._connection is not None:
                self._tried(functools.partial(self._hold, node))

    def _hold(self, node: str, raw: psycopg.Connection[Any]) -> None:
        # A connection of ours whose end the server has not seen may have it still.
        row = raw.execute(_HOLD, [key_of(node)]).fetchone()
        if row is not None and row[0]:
            self._held.add(node)

    def _begin(self) -> None:
        self._next = monotonic() + AGAIN
        with contextlib.suppress(psycopg.Error, OSError):
            self._connection = self._connect()
            self._connection.autocommit = True
            self._count = next(_counts)
            self._tried(lambda raw: raw.execute(f"LISTEN {CHANNEL}"))

    def _tried(self, action: Callable[[psycopg.Connection[Any]], object]) -> None:
        if self._connection is None:
            return
        try:
            action(self._connection)
        except psycopg.Error:
            self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        self._held.clear()
        self._told = True  # what was told meanwhile is not known
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()


class SessionHints:
    """Readable when the session is told something.  One thread.

    It outlives the connection: an epoll descriptor forgets a socket that is closed.
    """

    def __init__(self, drain: Callable[[], bool]) -> None:
        """Take what is there by ``drain``."""
        self._drain = drain
        self._epoll = select.epoll()
        self._watched: tuple[int, int | None] = (0, None)
        self.descriptor = self._epoll.fileno()

    def follow(self, number: int, descriptor: int | None) -> None:
        """Wait for this descriptor, that of the session's connection ``number``."""
        if (number, descriptor) == self._watched or self._epoll.closed:
            return
        _, old = self._watched
        if old is not None:
            with contextlib.suppress(OSError):  # it is closed, or somebody else's now
                self._epoll.unregister(old)
        if descriptor is not None:
            self._epoll.register(descriptor, select.EPOLLIN)
        self._watched = (number, descriptor)

    def take(self) -> bool:
        """See `interfaces.Hints.take`."""
        return self._drain()

    def close(self) -> None:
        """Give the descriptor back."""
        self._epoll.close()
