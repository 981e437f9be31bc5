"""INSERT, UPDATE, DELETE and SELECT, each made ready once and run many times."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sqlalchemy import Delete, Insert, Select, Update

from simulation.database.expressions import compiled, stored
from simulation.database.queries import Condition, Query
from simulation.database.storage import Mode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from simulation.database.storage import Record
    from simulation.database.transactions import Transaction, View

    Parameters = Mapping[str, Any]


@dataclass(slots=True)
class Outcome:
    """What a statement has come to."""

    rows: list[Any] = field(default_factory=list)
    rowcount: int = -1
    key: tuple[Any, ...] | None = None  # of the row that was inserted


def prepared(statement: Any) -> Callable[[Transaction, Parameters], Outcome]:
    """Return what runs a statement in a transaction."""
    for kind, make in _KINDS:
        if isinstance(statement, kind):
            found: Callable[[Transaction, Parameters], Outcome] = make(statement)
            return found
    raise NotImplementedError(f"{type(statement).__name__}: {statement}")


class _Select:
    def __init__(self, statement: Any) -> None:
        self._query = Query(statement)

    def __call__(self, by: Transaction, params: Parameters) -> Outcome:
        look = by.look()
        if not self._query.locks:
            return Outcome(self._query.results(look, params))
        found = [
            rows
            for rows in list(self._query.matching(look, params))
            if self._lock(look, rows, params)
        ]
        return Outcome(self._query.told(found, look, params))

    def _lock(self, look: View, rows: Any, params: Parameters) -> bool:
        """Lock the rows that are wanted; put in what they are by then."""

        def still(now: dict[str, Any]) -> bool:
            return self._query.condition.holds({**rows, table: now}, params, look)

        for table in self._query.locks:
            found = look.locked(table, rows[table], Mode.UPDATE, still)
            if found is None:
                return False
            rows[table] = found[1]
        return True


class _Write:
    """What UPDATE and DELETE have in common: they find rows, and lock each."""

    mode = Mode.NO_KEY

    def __init__(self, statement: Any) -> None:
        self._table = statement.table
        self._where = Condition(statement.whereclause, frozenset([statement.table]))

    def __call__(self, by: Transaction, params: Parameters) -> Outcome:
        look = by.look()
        count = 0
        for record, row in self._found(look, params):
            self._write(by, look, record, row, params)
            count += 1
        return Outcome(rowcount=count)

    def _found(
        self, look: View, params: Parameters
    ) -> Iterator[tuple[Record, dict[str, Any]]]:
        table = self._table

        def holds(row: dict[str, Any]) -> bool:
            return self._where.holds({table: row}, params, look)

        rows = [r for r in self._where.candidates(table, {}, params, look) if holds(r)]
        for row in rows:
            found = look.locked(table, row, self.mode, holds)
            if found is not None:
                yield found

    def _write(
        self,
        by: Transaction,
        look: View,
        record: Record,
        row: dict[str, Any],
        params: Parameters,
    ) -> None:
        raise NotImplementedError


class _Update(_Write):
    def __init__(self, statement: Any) -> None:
        super().__init__(statement)
        around = frozenset([statement.table])
        self._values = [
            (
                statement.table.columns[getattr(name, "key", name)],
                compiled(value, around),
            )
            for name, value in statement._values.items()
        ]

    def _write(
        self,
        by: Transaction,
        look: View,
        record: Record,
        row: dict[str, Any],
        params: Parameters,
    ) -> None:
        rows = {self._table: row}
        new = {
            column.key: stored(column, value(rows, params, look))
            for column, value in self._values
        }
        by.update(record, {**row, **new})


class _Delete(_Write):
    mode = Mode.UPDATE

    def _write(
        self,
        by: Transaction,
        look: View,
        record: Record,
        row: dict[str, Any],
        params: Parameters,
    ) -> None:
        by.delete(record)


class _Insert:
    def __init__(self, statement: Any) -> None:
        self._table = statement.table
        self._names = list(statement._select_names or ())
        self._query = Query(statement.select) if statement.select is not None else None
        self._values = {
            getattr(name, "key", name): compiled(value)
            for name, value in (statement._values or {}).items()
        }

    def __call__(self, by: Transaction, params: Parameters) -> Outcome:
        look = by.look()
        inside = by.tables.tables[self._table]
        rows = list(self._rows(look, params))
        made = [by.insert(inside, row) for row in rows]
        key = inside.key_of(made[0]) if len(made) == 1 else None
        return Outcome(rowcount=len(made), key=key)

    def _rows(self, look: View, params: Parameters) -> Iterator[dict[str, Any]]:
        if self._query is not None:
            for found in self._query.results(look, params):
                yield self._row(zip(self._names, found, strict=True))
            return
        values = {name: value({}, params, look) for name, value in self._values.items()}
        yield self._row({**params, **values}.items())

    def _row(self, values: Any) -> dict[str, Any]:
        columns = self._table.columns
        return {name: stored(columns[name], value) for name, value in values}


_KINDS: tuple[tuple[Any, Any], ...] = (
    (Select, _Select),
    (Update, _Update),
    (Delete, _Delete),
    (Insert, _Insert),
)
