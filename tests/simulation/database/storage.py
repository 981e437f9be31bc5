"""Rows, with the versions that transactions have made of them.

As in PostgreSQL, chapter 13: whoever writes makes a new version, which others see
when the transaction has committed and their own look began after that.  Readers wait
for nobody.  A row that two transactions want to write belongs to one after the other.
"""

from __future__ import annotations

import enum
import itertools
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import TextClause

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Column, ForeignKey, MetaData, Table

    from simulation.database.transactions import Transaction


class Mode(enum.IntEnum):
    """How a row is locked; what conflicts with what is in `conflicts`."""

    KEY_SHARE = 0  # somebody refers to it
    NO_KEY = 1  # it is written, and keeps its key
    UPDATE = 2  # SELECT FOR UPDATE, or it is deleted


def conflicts(one: Mode, other: Mode) -> bool:
    """Tell whether two transactions cannot both have these locks of one row."""
    return one + other >= Mode.UPDATE


class Record:
    """One row: its committed versions, and who is about to write another."""

    __slots__ = ("key", "locks", "pending", "table", "versions", "writer")

    def __init__(self, table: Stored, key: tuple[Any, ...]) -> None:
        self.table = table
        self.key = key
        self.versions: list[tuple[int, dict[str, Any] | None]] = []  # oldest first
        self.writer: Transaction | None = None
        self.pending: dict[str, Any] | None = None  # None with a writer: deleted
        self.locks: dict[Transaction, Mode] = {}

    def seen(self, by: Transaction | None, moment: int) -> dict[str, Any] | None:
        """Return the version of that moment, or what ``by`` has written itself."""
        if by is not None and self.writer is by:
            return self.pending
        for made, values in self.versions[::-1]:
            if made <= moment:
                return values
        return None

    def commit(self, moment: int, oldest: int) -> None:
        """Make the pending version the last; forget what nobody looks at any more."""
        self.versions.append((moment, self.pending))
        self.writer = self.pending = None
        while len(self.versions) > 1 and self.versions[1][0] <= oldest:
            del self.versions[0]

    def roll_back(self) -> None:
        """Forget the pending version."""
        self.writer = self.pending = None

    def unlock(self, by: Transaction) -> None:
        """Let go of a lock; of the record, too, if nothing is left of it."""
        self.locks.pop(by, None)
        is_nothing = [None] == [values for _, values in self.versions]
        if self.writer is None and not self.locks and (is_nothing or not self.versions):
            self.table.remove(self)


class Stored:
    """One table."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.name = table.name
        self.key = tuple(column.key for column in table.primary_key.columns)
        self.columns: tuple[Column[Any], ...] = tuple(table.columns)
        self.unique = [column.key for column in table.columns if column.unique]
        self.numbers = itertools.count(1)
        self.records: dict[tuple[Any, ...], Record] = {}
        self._under: dict[Any, dict[tuple[Any, ...], Record]] = {}
        self.parents: list[tuple[str, Stored, str, str | None]] = []
        self.children: list[tuple[str, Stored, str, str | None]] = []

    def key_of(self, values: dict[str, Any]) -> tuple[Any, ...]:
        """Return the primary key of a row."""
        return tuple(values[name] for name in self.key)

    def under(self, first: Any) -> Iterator[Record]:
        """Return the records whose key begins with this value."""
        return iter(list(self._under.get(first, {}).values()))

    def named(self, column: str, value: Any) -> Iterator[Record]:
        """Return records, among them all that have this value in a column."""
        if column == self.key[0]:
            return self.under(value)
        return iter(list(self.records.values()))

    def record(self, key: tuple[Any, ...]) -> Record:
        """Return the record of a key; a new one if there is none."""
        found = self.records.get(key)
        if found is None:
            found = self.records[key] = Record(self, key)
            self._under.setdefault(key[0], {})[key] = found
        return found

    def remove(self, record: Record) -> None:
        """Forget a record that has no version left."""
        if self.records.get(record.key) is record:
            del self.records[record.key]
            under = self._under[record.key[0]]
            del under[record.key]
            if not under:
                del self._under[record.key[0]]

    def complete(self, values: dict[str, Any]) -> dict[str, Any]:
        """Return a row with what the database itself puts into it."""
        row = {}
        for column in self.columns:
            value = values.get(column.key)
            if value is None and column.key not in values:
                value = self._default(column)
            if value is None and not column.nullable:
                raise Violation(f"{self.name}.{column.key} must not be NULL")
            row[column.key] = value
        return row

    def _default(self, column: Column[Any]) -> Any:
        default: Any = column.server_default
        if default is not None:
            made = default.arg
            return int(made.text) if isinstance(made, TextClause) else made
        if column.primary_key and column.autoincrement is not False:
            return next(self.numbers)
        return None


class Violation(Exception):
    """A constraint of the tables does not hold."""


#: What a foreign key of the tables may do when its parent goes.
CASCADE: Final = "CASCADE"


def tables_of(metadata: MetaData) -> dict[Table, Stored]:
    """Make all tables, empty, with who refers to whom."""
    found = {table: Stored(table) for table in metadata.tables.values()}
    for table, stored in found.items():
        for column in table.columns:
            for reference in column.foreign_keys:
                _refer(found, stored, column.key, reference)
    return found


def _refer(
    tables: dict[Table, Stored], child: Stored, name: str, reference: ForeignKey
) -> None:
    parent = tables[reference.column.table]
    on_delete = reference.ondelete
    child.parents.append((name, parent, reference.column.key, on_delete))
    parent.children.append((reference.column.key, child, name, on_delete))
