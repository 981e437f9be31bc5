"""The seam of the ledger, on tables in memory: see `pointsman.ledger.database`."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any, Protocol, cast

from sqlalchemy import TextClause

from pointsman.errors import LedgerError
from simulation.database.statements import Outcome, prepared
from simulation.database.storage import Violation
from simulation.database.transactions import Refusal, Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sqlalchemy import Connection

    from pointsman.interfaces import Hints
    from simulation.database.tables import Tables

#: What runs a statement, by its identity; with it, so that it stays the same.
_prepared: dict[int, tuple[Any, Any, str]] = {}


class Lost(Exception):
    """Nothing is known of what was asked last."""


class Asking(Protocol):
    """Who brings statements to the tables."""

    def ask(self, transaction: Transaction, work: Callable[[], Any], what: str) -> Any:
        """Let the database do something; ``what`` is a word for it."""
        ...

    def run_text(self, statement: Any, transaction: Transaction) -> Any:
        """Return what does a statement that is written as text."""
        ...


class Line(Protocol):
    """How threads of one process keep out of each other's way."""

    def turn(self) -> contextlib.AbstractContextManager[object]:
        """Keep others from the tables while one statement runs."""
        ...

    def end(self, transaction: Transaction) -> None:
        """Roll back what was not committed."""
        ...


class Memory:
    """`pointsman.ledger.database.Database` on tables in memory.  Any thread."""

    def __init__(
        self, tables: Tables, line: Line, clock: Callable[[], float], url: str
    ) -> None:
        self.url = url
        self.tables = tables
        self.line = line
        self._clock = clock
        self._seen = -1  # how many commits there were at the last look

    @contextlib.contextmanager
    def _transaction(self, *, frozen: bool) -> Iterator[Connection]:
        transaction = Transaction(
            self.tables, frozen=frozen, name=threading.current_thread().name
        )
        try:
            with self._telling():
                yield cast("Connection", Asked(self, transaction))
                self.ask(transaction, transaction.commit)
        finally:
            self.line.end(transaction)

    def reading(self) -> contextlib.AbstractContextManager[Connection]:
        """See `Database.reading`: REPEATABLE READ, READ ONLY."""
        return self._transaction(frozen=True)

    def writing(self) -> contextlib.AbstractContextManager[Connection]:
        """See `Database.writing`: READ COMMITTED."""
        return self._transaction(frozen=False)

    def ask(
        self, transaction: Transaction, work: Callable[[], Any], what: str = ""
    ) -> Any:
        """Let the database do something, while no other thread does."""
        with self.line.turn():
            return work()

    def run_text(self, statement: Any, transaction: Transaction) -> Any:
        """Know no statement of a database's own."""
        raise NotImplementedError(str(statement))

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        try:
            yield
        except (Refusal, Violation, Lost) as error:
            raise LedgerError(self.url, str(error)) from error

    making = writing

    def now(self, connection: Connection) -> float:
        """Return the time of the clock that it was given."""
        return self._clock()

    def tell(self, connection: Connection) -> None:
        """Do nothing: whoever wants to know compares."""

    def changed(self) -> bool:
        """Compare the count of commits."""
        with self._telling(), self.line.turn():
            seen, self._seen = self._seen, self.tables.moment
            return seen != self._seen

    def hints(self) -> Hints | None:
        """Have none."""
        return None

    def vouch(self, node: str) -> None:
        """Be no proof of anything."""

    def withdraw(self, node: str) -> None:
        """Have nothing to withdraw."""

    def lost(self, connection: Connection, nodes: Collection[str]) -> dict[str, bool]:
        """Know nothing of anybody."""
        return {}

    def damage(self) -> tuple[str, ...]:
        """Find nothing: memory is taken for whole."""
        return ()

    def shrink(self) -> None:
        """Do nothing: rows that are gone take no room."""

    def close(self) -> None:
        """Do nothing: there is a connection for each transaction."""


class Asked:
    """What the ledger needs of `sqlalchemy.Connection`."""

    def __init__(self, database: Asking, transaction: Transaction) -> None:
        self._database = database
        self.transaction = transaction

    def execute(self, statement: Any, parameters: Any = None) -> Result:
        """Run a statement, once for each of the parameters."""
        if isinstance(statement, TextClause):
            told = self._database.run_text(statement, self.transaction)
            rows = self._database.ask(self.transaction, told, "text")
            return Result([Outcome(rows)])
        run, what = _ready(statement)
        several = parameters if isinstance(parameters, list) else [parameters or {}]

        def work() -> list[Outcome]:
            return [run(self.transaction, one) for one in several]

        return Result(self._database.ask(self.transaction, work, what))


def _ready(statement: Any) -> tuple[Callable[[Transaction, Any], Outcome], str]:
    found = _prepared.get(id(statement))
    if found is None:
        what = statement.__visit_name__
        found = _prepared[id(statement)] = (statement, prepared(statement), what)
    return found[1], found[2]


class Result:
    """What the ledger needs of `sqlalchemy.CursorResult`."""

    def __init__(self, outcomes: list[Outcome]) -> None:
        self._rows = outcomes[0].rows
        self.rowcount = sum(one.rowcount for one in outcomes)
        self.inserted_primary_key = outcomes[0].key

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def all(self) -> list[Any]:
        """Return all rows."""
        return self._rows

    def first(self) -> Any:
        """Return the first row, if there is one."""
        return self._rows[0] if self._rows else None

    def one(self) -> Any:
        """Return the only row."""
        (row,) = self._rows
        return row

    def scalar(self) -> Any:
        """Return the first value of the first row."""
        return self._rows[0][0] if self._rows else None

    def scalar_one(self) -> Any:
        """Return the only value."""
        return self.one()[0]

    def scalars(self) -> Result:
        """Return the first values of all rows."""
        return Result([Outcome([row[0] for row in self._rows])])
