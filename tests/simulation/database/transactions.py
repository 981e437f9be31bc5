"""Transactions with the locks of PostgreSQL: READ COMMITTED, or one moment's look.

A statement runs in one step, unless it has to wait for a row that somebody else has
locked.  It goes on with what that one has committed then: the row is looked at again,
everything else is what the statement saw when it began (PostgreSQL, 13.2.1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from simulation.database.storage import (
    CASCADE,
    Mode,
    Record,
    Stored,
    Violation,
    conflicts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from simulation.database.tables import Tables


class Refusal(Exception):
    """The database does not do it; the transaction is over."""


class Deadlock(Refusal):
    """Two transactions wait for each other."""


class Patience(Protocol):
    """How a statement waits for another transaction's end."""

    def wait(self, blocked: Transaction) -> None:
        """Return when one of those that it waits for has ended.

        Raises:
            Refusal: after the time that the database allows for it.

        """
        ...

    def ended(self, transaction: Transaction) -> None:
        """Let those go on that wait for it."""
        ...


class Transaction:
    """One transaction.  ``frozen`` sees the moment of its first statement only."""

    def __init__(self, tables: Tables, *, frozen: bool, name: str = "") -> None:
        self.tables = tables
        self.name = name
        self._frozen = frozen
        self._moment: int | None = None
        self.written: dict[Record, None] = {}
        self._locked: dict[Record, None] = {}
        self.waits_for: tuple[Transaction, ...] = ()
        self.is_over = False

    # LOOKING

    def look(self) -> View:
        """Begin a statement."""
        self.require_open()
        if self._frozen:
            if self._moment is None:
                self._moment = self.tables.moment
                self.tables.looking[self] = self._moment
            return View(self, self._moment)
        return View(self, self.tables.moment)

    def require_open(self) -> None:
        """Refuse what comes after the end, which others may have brought about."""
        if self.is_over:
            raise Refusal("the connection was closed by the server")

    # LOCKING

    def lock(self, record: Record, mode: Mode) -> None:
        """Lock a row; wait for others that have it."""
        while True:
            others = tuple(
                other
                for other, theirs in record.locks.items()
                if other is not self and conflicts(mode, theirs)
            )
            if not others:
                break
            self._wait(others)
        record.locks[self] = max(mode, record.locks.get(self, mode))
        self._locked[record] = None

    def _wait(self, others: tuple[Transaction, ...]) -> None:
        self.waits_for = others
        try:
            if self in _reached(others):
                raise Deadlock(f"{self.name} and {others[0].name} wait for each other")
            self.tables.patience.wait(self)
            self.require_open()
        finally:
            self.waits_for = ()

    # WRITING

    def write(self, record: Record, values: dict[str, Any] | None) -> None:
        """Make a version of a row that is locked."""
        record.writer, record.pending = self, values
        self.written[record] = None

    def insert(self, stored: Stored, values: dict[str, Any]) -> dict[str, Any]:
        """Add a row; wait for who is about to add or remove one of that key."""
        row = stored.complete(values)
        record = stored.record(stored.key_of(row))
        self.lock(record, Mode.UPDATE)
        record = stored.record(record.key)  # its last one may be gone meanwhile
        self.lock(record, Mode.UPDATE)
        if self._latest(record) is not None:
            raise Violation(f"there is a row {record.key} in {stored.name} already")
        self._require_unique(stored, row, record)
        self._refer(stored, row)
        self.write(record, row)
        return row

    def update(self, record: Record, values: dict[str, Any]) -> None:
        """Write a row that is locked anew; its key stays."""
        assert record.table.key_of(values) == record.key
        self._require_unique(record.table, values, record)
        self.write(record, values)

    def delete(self, record: Record) -> None:
        """Take away a row that is locked, and what goes with it."""
        values = self._latest(record)
        assert values is not None
        for key, child, name, on_delete in record.table.children:
            if values[key] is None:
                continue
            for other in child.named(name, values[key]):
                refers = self._latest(other)
                if refers is None or refers[name] != values[key]:
                    continue
                if on_delete != CASCADE:
                    raise Violation(f"{child.name} refers to {record.key}")
                self.lock(other, Mode.UPDATE)
                self.write(other, None)
        self.write(record, None)

    def _latest(self, record: Record) -> dict[str, Any] | None:
        return record.seen(self, self.tables.moment)

    def _require_unique(
        self, stored: Stored, row: dict[str, Any], mine: Record
    ) -> None:
        for name in stored.unique:
            if row[name] is None:
                continue
            for other in list(stored.records.values()):
                if other is mine:
                    continue
                if other.writer not in (None, self):
                    pending = other.pending or {}
                    if pending.get(name) == row[name]:
                        self.lock(other, Mode.UPDATE)
                theirs = self._latest(other)
                if theirs is not None and theirs[name] == row[name]:
                    raise Violation(f"{stored.name}.{name} has {row[name]!r} already")

    def _refer(self, stored: Stored, row: dict[str, Any]) -> None:
        for name, parent, key, _ in stored.parents:
            if row[name] is not None:
                self._refer_to(stored, parent, key, row[name])

    def _refer_to(self, stored: Stored, parent: Stored, key: str, value: Any) -> None:
        if parent.key == (key,):
            found: Iterable[Record] = filter(None, [parent.records.get((value,))])
        else:
            found = list(parent.records.values())
        for record in found:
            values = self._latest(record)
            if values is not None and values[key] == value:
                self.lock(record, Mode.KEY_SHARE)
                values = self._latest(record)
                if values is not None and values[key] == value:
                    return
        raise Violation(f"{stored.name} refers to a missing {parent.name} {value!r}")

    # ENDING

    def commit(self) -> None:
        """Let others see what was written."""
        self.require_open()
        if self.written:
            self.tables.commit(self)
        self._end()

    def roll_back(self) -> None:
        """Forget what was written."""
        if self.is_over:
            return
        for record in self.written:
            record.roll_back()
        self._end()

    def _end(self) -> None:
        self.is_over = True
        self.tables.looking.pop(self, None)
        for record in self._locked:
            record.unlock(self)
        self.tables.patience.ended(self)


class View:
    """The tables, as one statement of a transaction sees them; see `Look`."""

    def __init__(self, transaction: Transaction, moment: int) -> None:
        self.by = transaction
        self.moment = moment
        self._tables = transaction.tables.tables

    def rows(self, table: Any) -> Iterator[dict[str, Any]]:
        """See `Look.rows`."""
        return self._seen(list(self._tables[table].records.values()))

    def row(self, table: Any, key: tuple[Any, ...]) -> dict[str, Any] | None:
        """See `Look.row`."""
        record = self._tables[table].records.get(key)
        return None if record is None else record.seen(self.by, self.moment)

    def rows_under(self, table: Any, first: Any) -> Iterator[dict[str, Any]]:
        """See `Look.rows_under`."""
        return self._seen(self._tables[table].under(first))

    def _seen(self, records: Iterable[Record]) -> Iterator[dict[str, Any]]:
        by, moment = self.by, self.moment
        for record in records:
            values = record.seen(by, moment)
            if values is not None:
                yield values

    def locked(
        self,
        table: Any,
        row: dict[str, Any],
        mode: Mode,
        still: Callable[[dict[str, Any]], bool],
    ) -> tuple[Record, dict[str, Any]] | None:
        """Lock a row; return it as it is then, None if it is not wanted any more."""
        stored = self._tables[table]
        record = stored.records.get(stored.key_of(row))
        if record is None:
            return None
        self.by.lock(record, mode)
        now = record.seen(self.by, self.by.tables.moment)
        if now is None or (now is not row and not still(now)):
            return None
        return record, now


def _reached(transactions: Iterable[Transaction]) -> set[Transaction]:
    found: set[Transaction] = set()
    todo = list(transactions)
    while todo:
        one = todo.pop()
        if one not in found:
            found.add(one)
            todo.extend(one.waits_for)
    return found
