"""The database server: its clock, its connections, its end and its return."""

from __future__ import annotations

from collections import Counter, deque
from typing import TYPE_CHECKING, Any, Final

import psycopg

from pointsman.ledger.postgresql import BUSY, DEAF, SILENT
from pointsman.ledger.postgresql_session import _HOLD, _RELEASE
from simulation.database.tables import Tables
from simulation.database.transactions import Refusal

if TYPE_CHECKING:
    from random import Random

    from simulation.database.transactions import Transaction
    from simulation.tasks import Fibre, Timetable
    from simulation.wire import Wire

_EPOCH: Final = 1_900_000_000.0
_LOOKS: Final = 1.0  # seconds between two looks at who is idle within a transaction


class Server:
    """One PostgreSQL server.  It loses nothing that was committed.

    ``lost``, ``doubled`` and ``late`` are how many of the notifications are that.
    """

    def __init__(self, timetable: Timetable, random: Random) -> None:
        self.timetable = timetable
        self.random = random
        self._blocked: dict[Transaction, Fibre] = {}
        self.tables = Tables(self)
        self.offset = _EPOCH
        self.is_up = True
        self.statements: Counter[str] = Counter()
        self.told = 0  # notifications that were sent
        self.open: dict[Transaction, float] = {}  # and when each was last used
        self.telling: set[Transaction] = set()
        self.held: dict[int, Listening] = {}
        self.listening: dict[Listening, None] = {}
        self.lost = self.doubled = self.late = 0.0
        self._watch()

    def clock(self) -> float:
        """Return what time it believes it is."""
        return self.timetable.now + self.offset

    # LOCKS: see `transactions.Patience`

    def wait(self, blocked: Transaction) -> None:
        """Wait as long as lock_timeout allows."""
        self._blocked[blocked] = self.timetable.mine
        began = self.timetable.now
        try:
            self.timetable.sleep(BUSY)
        finally:
            del self._blocked[blocked]
        if self.timetable.now - began >= BUSY:
            raise Refusal("canceling statement due to lock timeout")

    def ended(self, transaction: Transaction) -> None:
        """Let those go on that wait for it."""
        for blocked, fibre in self._blocked.items():
            if transaction in blocked.waits_for:
                self.timetable.wake(fibre)

    # TRANSACTIONS

    def commit(self, transaction: Transaction) -> None:
        """Commit, and tell those who listen."""
        transaction.commit()
        if transaction in self.telling:
            self._tell()

    def close(self, transaction: Transaction) -> None:
        """Forget a transaction; roll back what it has not committed."""
        self.open.pop(transaction, None)
        self.telling.discard(transaction)
        transaction.roll_back()

    def _terminate(self, transaction: Transaction) -> None:
        blocked = self._blocked.get(transaction)
        self.close(transaction)
        if blocked is not None:
            self.timetable.wake(blocked)

    def _watch(self) -> None:
        """End the transactions of those who have nothing more to say."""
        now = self.timetable.now
        for transaction, used in list(self.open.items()):
            if now - used > SILENT and transaction not in self._blocked:
                self._terminate(transaction)
        self.timetable.call(_LOOKS, self._watch)

    # THOSE WHO LISTEN

    def _tell(self) -> None:
        for one in self.listening:
            times = 0 if self.random.random() < self.lost else 1
            times += self.random.random() < self.doubled
            for _ in range(times):
                self.told += 1
                delay = self.random.uniform(0.0002, 0.002)
                if self.random.random() < self.late:
                    delay = self.random.uniform(0.1, 10.0)
                self.timetable.call(delay, one.hear)

    def drop(self, one: Listening) -> None:
        """Forget a connection that listens, with all of its locks."""
        self.listening.pop(one, None)
        self.held = {key: who for key, who in self.held.items() if who is not one}

    # FAULTS

    def fail_over(self, seconds: float, step: float) -> None:
        """Be away for so long, and come back with another clock and all data."""
        self.is_up = False
        for transaction in list(self.open):
            self._terminate(transaction)
        for one in list(self.listening):
            self.drop(one)
            one.is_broken = True
            one.wire.wake()
        self.offset += step

        def return_() -> None:
            self.is_up = True

        self.timetable.call(seconds, return_)


class Listening:
    """What `pointsman.ledger.postgresql_session` needs of `psycopg.Connection`."""

    def __init__(self, server: Server, wire: Wire) -> None:
        self.server = server
        self.wire = wire
        self.autocommit = True
        self.is_broken = False  # and its process can know
        self.is_closed = False  # by its process
        self.arrived: deque[object] = deque()
        self._waiting: list[object] = []  # at the other side of a cut

    def execute(self, statement: str, values: Any = None) -> Any:
        """LISTEN, or take or give back a lock; return something to fetch from."""
        self.wire.travel(statement.partition(" ")[0])
        if self.is_broken or self.wire.is_cut or not self.server.is_up:
            self.is_broken = True
            raise psycopg.OperationalError("the connection is lost")
        self.server.listening[self] = None
        found = True
        if statement == _HOLD:
            found = self.server.held.setdefault(values[0], self) is self
        elif statement == _RELEASE and self.server.held.get(values[0]) is self:
            del self.server.held[values[0]]
        return _Fetched(found)

    def hear(self) -> None:
        """Get a notification, now or when the cut is over."""
        if self.wire.is_cut:
            self._waiting.append(object())
        elif not self.is_broken:
            self.arrived.append(object())
            self.wire.wake()

    def cut(self) -> None:
        """Be cut off; both sides find out after a while, if it lasts."""

        def find_out() -> None:
            if self.wire.is_cut and not self.is_broken:
                self.break_()

        self.server.timetable.call(DEAF, find_out)

    def mend(self) -> None:
        """Get what waited at the other side."""
        waiting, self._waiting = self._waiting, []
        for _ in waiting:
            self.hear()

    def break_(self) -> None:
        """End; the process sees it when it looks."""
        self.is_broken = True
        self.server.drop(self)
        self.wire.wake()

    @property
    def is_readable(self) -> bool:
        """Tell whether a look at it would not wait."""
        return not self.is_closed and (self.is_broken or bool(self.arrived))

    # AS LIBPQ HAS IT

    @property
    def pgconn(self) -> Listening:
        """Return what reads the socket."""
        return self

    def consume_input(self) -> None:
        """Read, and find out whether it is broken."""
        if self.is_broken:
            raise psycopg.OperationalError("the connection is lost")

    def notifies(self) -> object | None:
        """Return one notification that has arrived."""
        return self.arrived.popleft() if self.arrived else None

    def fileno(self) -> int:
        """Return a number."""
        return 1

    def close(self) -> None:
        """End it; over a cut, the server finds out later."""
        self.is_broken = self.is_closed = True
        after = DEAF if self.wire.is_cut else 0.0
        self.server.timetable.call(after, lambda: self.server.drop(self))


class _Fetched:
    def __init__(self, value: object) -> None:
        self._value = value

    def fetchone(self) -> tuple[object, ...]:
        return (self._value,)
