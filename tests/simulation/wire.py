"""The way from one process to the database: it takes time, is cut, and loses things."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final, cast

import psycopg

from pointsman.errors import LedgerError
from pointsman.ledger.postgresql import (
    _HELD,
    _NOW,
    _TELL,
    DEAF,
    Postgresql,
    _Own,
)
from pointsman.ledger.postgresql_session import Session, SessionHints
from simulation.database.connection import Asked, Lost
from simulation.database.transactions import Deadlock, Refusal, Transaction
from simulation.server import Listening

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator

    from sqlalchemy import Connection

    from simulation.processes import Process
    from simulation.server import Server

_REFUSED: Final = 0.001  # seconds until the machine of a server that is down says so
_CONNECT_TIMEOUT: Final = 5.0
_AGAIN: Final = 0.4  # seconds until TCP sends again
_QUICK, _SLOW = (0.0001, 0.0015), (0.01, 0.3)  # seconds of one way


class Wire:
    """All connections of one process."""

    def __init__(self, process: Process, server: Server) -> None:
        self.process = process
        self.server = server
        self.listening: Listening | None = None
        self.slow = process.world.slow  # how many of the ways take longer
        self.deaf = process.world.deaf  # how many of the answers are lost
        self.waiting = 0  # for an answer that does not come
        self._given_up: set[Transaction] = set()

    @property
    def is_cut(self) -> bool:
        """Tell whether nothing gets through."""
        return self.process.host.is_cut

    def travel(self, what: str = "") -> None:
        """Let the time of one way pass, and that of a process that is stopped."""
        random = self.server.random
        self.server.statements[what] += 1
        span = _SLOW if random.random() < self.slow else _QUICK
        self.process.pass_time(random.uniform(*span))

    def wake(self) -> None:
        """Let the process look at what it has heard."""
        self.process.bell.wake()

    # TRANSACTIONS

    def begin(self, transaction: Transaction) -> None:
        """See `database.connection.Line`."""
        if not self._is_through(_CONNECT_TIMEOUT):
            raise Lost("connection timeout expired")
        if not self.server.is_up:
            self.process.pass_time(_REFUSED)
            raise Lost("connection refused")
        self.server.open[transaction] = self.server.timetable.now

    def there(self, transaction: Transaction, what: str) -> None:
        """See `database.connection.Line`."""
        self.travel(what)
        if not self._is_through(DEAF):
            self._give_up(transaction, "could not send data to server")
        transaction.require_open()
        self.server.open[transaction] = self.server.timetable.now

    def back(self, transaction: Transaction) -> None:
        """See `database.connection.Line`."""
        if transaction in self.server.open:
            self.server.open[transaction] = self.server.timetable.now
        random = self.server.random
        is_lost = self.deaf and random.random() < self.deaf
        if is_lost:
            with self._waiting():
                self.process.pass_time(DEAF)
        if is_lost or not self._is_through(DEAF):
            self._give_up(transaction, "could not receive data from server")
        if random.random() < 0.3:  # else it takes no time, for the simulation's sake
            self.process.pass_time(random.uniform(*_QUICK))

    def _give_up(self, transaction: Transaction, reason: str) -> None:
        self._given_up.add(transaction)
        raise Lost(reason)

    def _is_through(self, patience: float) -> bool:
        """Wait for the end of a cut, as TCP does, which sends again and again."""
        end = self.server.timetable.now + patience
        with self._waiting():
            while self.is_cut and self.server.timetable.now < end:
                self.process.pass_time(_AGAIN)
        return not self.is_cut

    @contextlib.contextmanager
    def _waiting(self) -> Iterator[None]:
        self.waiting += 1
        try:
            yield
        finally:
            self.waiting -= 1

    def end(self, transaction: Transaction) -> None:
        """Give the connection back; the server may not hear of it."""
        if transaction in self._given_up:
            self._given_up.discard(transaction)
        elif self.process.host.is_on:
            self.server.close(transaction)

    # THE CONNECTION THAT STAYS

    def connect(self) -> Any:
        """Return a connection that listens.

        Raises:
            psycopg.OperationalError: the server cannot be reached.

        """
        self.process.pass_time(_REFUSED)
        if not self._is_through(_CONNECT_TIMEOUT) or not self.server.is_up:
            raise psycopg.OperationalError("connection refused")
        self.listening = Listening(self.server, self)
        return self.listening


class Replica(Postgresql):
    """The product's own `Postgresql`, at the end of a wire instead of a socket."""

    def __init__(self, wire: Wire, broken: Callable[[BaseException], None]) -> None:
        """Connect nothing; ``broken`` is told what a database should never say."""
        self.url = "postgresql://simulated"
        self.wire = wire
        self._broken = broken
        self._clock = None
        self._nodes = _Own()
        self._hints = None
        self._session = 0
        self._missing = {}
        self._missing_in = 0
        self._watching = cast("threading.Lock", contextlib.nullcontext())
        self._open = cast("Any", _Opened(wire))

    def reading(self) -> contextlib.AbstractContextManager[Connection]:
        """See `Database.reading`."""
        return self._simulated(frozen=True)

    def writing(self) -> contextlib.AbstractContextManager[Connection]:
        """See `Database.writing`."""
        return self._simulated(frozen=False)

    @contextlib.contextmanager
    def _simulated(self, *, frozen: bool) -> Iterator[Connection]:
        wire = self.wire
        transaction = Transaction(
            wire.server.tables, frozen=frozen, name=wire.process.name
        )
        try:
            wire.begin(transaction)
            yield cast("Connection", Asked(self, transaction))
            if frozen:
                transaction.commit()  # nobody waits for that
            else:
                commit = wire.server.commit
                self.ask(transaction, lambda: commit(transaction), "COMMIT")
        except Deadlock as error:
            self._broken(error)
            raise LedgerError(self.url, str(error)) from error
        except (Refusal, Lost) as error:
            raise LedgerError(self.url, str(error)) from error
        finally:
            wire.end(transaction)

    def ask(self, transaction: Transaction, work: Callable[[], Any], what: str) -> Any:
        """Let the server do something."""
        self.wire.there(transaction, what)
        try:
            found = work()
        except (Refusal, AssertionError):
            raise
        except Exception as error:
            self._broken(error)
            raise
        self.wire.back(transaction)
        return found

    def run_text(self, statement: Any, transaction: Transaction) -> Any:
        """Return what does the statements that are PostgreSQL's own."""
        server = self.wire.server
        if statement is _NOW:
            return lambda: [[server.clock()]]
        if statement is _HELD:
            return lambda: [[key] for key in server.held]
        assert statement is _TELL, statement

        def tell() -> list[list[None]]:
            server.telling.add(transaction)
            return [[None]]

        return tell

    def hints(self) -> SessionHints:
        """Return what takes what was heard."""
        self._hints = cast("SessionHints", _Heard(self._drained))
        return self._hints


class _Opened:
    """What one process has open."""

    def __init__(self, wire: Wire) -> None:
        self.session = Session(wire.connect)

    @contextlib.contextmanager
    def entered(self) -> Iterator[_Opened]:
        yield self

    def close(self) -> None:
        self.session.close()


class _Heard:
    """`interfaces.Hints`, without a descriptor: the bell of the process knows."""

    descriptor = 0

    def __init__(self, take: Callable[[], bool]) -> None:
        self.take = take

    def follow(self, number: int, descriptor: int | None) -> None:
        """Know it."""

    def close(self) -> None:
        """Have nothing to close."""
