"""SELECT over tables in memory: joins, conditions, aggregates, order.

A condition that names the primary key, or how it begins, is looked up; the rest is
filtered.  What a query locks (``FOR UPDATE``) is told, not done here.
"""

from __future__ import annotations

import operator
from collections import namedtuple
from typing import TYPE_CHECKING, Any

from sqlalchemy import Column, Table
from sqlalchemy.sql import elements, functions, operators, selectable

from simulation.database.expressions import compiled

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from simulation.database.expressions import Look, Rows


class Query:
    """A SELECT, made ready once."""

    def __init__(self, select: Any, outer: frozenset[Any] = frozenset()) -> None:
        """Read the statement; ``outer`` are the tables of the queries around it."""
        every = select.get_final_froms()
        # A table of the query around it is meant, unless nothing else would be left.
        froms = [one for one in every if one not in outer] or every
        self.joined = [step for one in froms for step in _steps(one, outer)]
        tables = outer | {one.table for one in self.joined}
        self.condition = Condition(select.whereclause, tables)
        columns = list(select.selected_columns)
        self.make: Callable[..., Any] = namedtuple(  # type: ignore[misc]  # noqa: PYI024
            "Row", [_name(one) for one in columns], rename=True
        )
        self.total = _aggregate(columns, tables)
        self.values = [] if self.total else [compiled(one, tables) for one in columns]
        self.order = [_direction(one, tables) for one in select._order_by_clauses]
        limit = select._limit_clause
        self.limit = None if limit is None else compiled(limit, tables)
        self.locks = _locked(select, self.joined)

    def results(
        self, look: Look, params: Mapping[str, Any], outer: Rows | None = None
    ) -> list[Any]:
        """Return the rows of the result."""
        return self.told(list(self.matching(look, params, outer)), look, params)

    def matching(
        self, look: Look, params: Mapping[str, Any], outer: Rows | None = None
    ) -> Iterator[Rows]:
        """Return the joined rows that meet the condition, in any order."""
        rows: Rows = dict(outer or {})
        if len(self.joined) != 1:
            yield from self._joined(0, rows, look, params)
            return
        table, holds = self.joined[0].table, self.condition.holds
        for row in self.condition.candidates(table, rows, params, look):
            rows[table] = row
            if holds(rows, params, look):
                yield dict(rows)

    def _joined(
        self, depth: int, rows: Rows, look: Look, params: Mapping[str, Any]
    ) -> Iterator[Rows]:
        if depth == len(self.joined):
            if self.condition.holds(rows, params, look):
                yield dict(rows)
            return
        step = self.joined[depth]
        narrow = self.condition if step.on is None else step.on
        found = False
        for row in narrow.candidates(step.table, rows, params, look):
            rows[step.table] = row
            if step.on is None or step.on.holds(rows, params, look):
                found = True
                yield from self._joined(depth + 1, rows, look, params)
        if not found and step.is_outer:
            rows[step.table] = None
            yield from self._joined(depth + 1, rows, look, params)
        rows.pop(step.table, None)

    def told(
        self, found: list[Rows], look: Look, params: Mapping[str, Any]
    ) -> list[Any]:
        """Return what the columns are of these joined rows, in order."""
        if self.total is not None:
            return [self.make(self.total(found, params, look))]
        for value, is_descending in reversed(self.order):
            found.sort(
                key=lambda rows, value=value: value(rows, params, look),  # type: ignore[misc]
                reverse=is_descending,
            )
        if self.limit is not None:
            del found[self.limit({}, params, look) :]
        return [
            self.make(*(value(rows, params, look) for value in self.values))
            for rows in found
        ]


class Condition:
    """A WHERE or ON, and what it says about primary keys."""

    def __init__(self, clause: Any, tables: frozenset[Any]) -> None:
        self._value = None if clause is None else compiled(clause, tables)
        self._equal: dict[Column[Any], Any] = {}
        for part in _parts(clause):
            if isinstance(part, elements.BinaryExpression) and (
                part.operator is operators.eq
            ):
                for one, other in ((part.left, part.right), (part.right, part.left)):
                    if isinstance(one, Column) and one not in self._equal:
                        self._equal[one] = (_tables_of(other), compiled(other, tables))

    def holds(self, rows: Rows, params: Mapping[str, Any], look: Look) -> bool:
        """Tell whether it is true: neither false nor unknown."""
        return self._value is None or self._value(rows, params, look) is True

    def candidates(
        self, table: Table, rows: Rows, params: Mapping[str, Any], look: Look
    ) -> Iterable[dict[str, Any]]:
        """Return rows of a table, among them all for which it can be true."""
        known = []
        for column in table.primary_key.columns:
            needs, value = self._equal.get(column, (None, None))
            if needs is None or any(one not in rows for one in needs):
                break
            known.append(value(rows, params, look))
        if len(known) == len(table.primary_key.columns):
            row = look.row(table, tuple(known))
            return () if row is None else (row,)
        return look.rows_under(table, known[0]) if known else look.rows(table)


class _Step:
    """One table that joins the rows."""

    def __init__(self, table: Any, on: Condition | None, *, is_outer: bool) -> None:
        self.table: Table = table
        self.on = on
        self.is_outer = is_outer


def _steps(source: Any, outer: frozenset[Any]) -> Iterator[_Step]:
    if isinstance(source, selectable.Join):
        yield from _steps(source.left, outer)
        tables = outer | {source.right, *_tables_in(source.left)}
        on = Condition(source.onclause, tables)
        yield _Step(source.right, on, is_outer=source.isouter)
    else:
        yield _Step(source, None, is_outer=False)


def _tables_in(source: Any) -> Iterator[Table]:
    if isinstance(source, selectable.Join):
        yield from _tables_in(source.left)
        yield from _tables_in(source.right)
    else:
        yield source


def _parts(clause: Any) -> Iterator[Any]:
    while isinstance(clause, elements.Grouping):
        clause = clause.element
    if isinstance(clause, elements.BooleanClauseList) and (
        clause.operator is operators.and_
    ):
        for part in clause.clauses:
            yield from _parts(part)
    elif clause is not None:
        yield clause


def _tables_of(node: Any) -> frozenset[Any]:
    return frozenset(one.table for one in _leaves(node) if isinstance(one, Column))


def _leaves(node: Any) -> Iterator[Any]:
    yield node
    for child in node.get_children():
        yield from _leaves(child)


def _name(column: Any) -> str:
    return str(column.name) if hasattr(column, "name") else "value"


def _aggregate(columns: list[Any], tables: frozenset[Any]) -> Any:
    """Return how one row is made of all, if the query has one such column."""
    node = columns[0]
    offset: Any = None
    if isinstance(node, elements.BinaryExpression):  # max(id) - bindparam("many")
        offset, node = compiled(node.right, tables), node.left
        if not isinstance(node, functions.FunctionElement):
            return None
        assert columns[0].operator is operators.sub
    while isinstance(node, elements.Label):
        node = node.element
    if not isinstance(node, functions.FunctionElement):
        return None
    assert len(columns) == 1, "an aggregate beside other columns"
    return _AGGREGATES[str(node.name)](node, offset, tables)


def _count(node: Any, offset: Any, tables: frozenset[Any]) -> Any:
    return lambda found, params, look: len(found)


def _max(node: Any, offset: Any, tables: frozenset[Any]) -> Any:
    value = compiled(next(iter(node.clauses)), tables)

    def most(found: Any, params: Any, look: Any) -> Any:
        best = max((value(rows, params, look) for rows in found), default=None)
        if best is None or offset is None:
            return best
        return operator.sub(best, offset({}, params, look))

    return most


_AGGREGATES = {"count": _count, "max": _max}


def _direction(clause: Any, tables: frozenset[Any]) -> tuple[Any, bool]:
    is_descending = getattr(clause, "modifier", None) is operators.desc_op
    return compiled(clause, tables), is_descending


def _locked(select: Any, joined: list[_Step]) -> tuple[Table, ...]:
    """Return the tables whose rows it locks."""
    wanted = select._for_update_arg
    if wanted is None:
        return ()
    return tuple(wanted.of or (one.table for one in joined))
