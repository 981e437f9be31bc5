"""What an SQL expression comes to, for the expressions that the ledger has.

An expression becomes a function of the rows that are joined so far, the parameters
and a look at the tables.  None is NULL, with SQL's three values of truth.  Whatever
is not known here is an error, so that nothing is ever guessed.
"""

from __future__ import annotations

import json
import operator
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import JSON, Column, Table
from sqlalchemy.sql import elements, functions, operators, selectable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    #: A row of each table that is joined so far; None where an outer join has none.
    Rows = dict[Any, dict[str, Any] | None]


class Look(Protocol):
    """The tables, as one statement sees them."""

    def rows(self, table: Any) -> Iterator[dict[str, Any]]:
        """Return all rows of a table."""
        ...

    def row(self, table: Any, key: tuple[Any, ...]) -> dict[str, Any] | None:
        """Return the row with this primary key."""
        ...

    def rows_under(self, table: Any, first: Any) -> Iterator[dict[str, Any]]:
        """Return the rows whose primary key begins with this value."""
        ...


def _known(compare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return a comparison, or sum, in which NULL with anything is NULL."""
    return lambda a, b: None if a is None or b is None else compare(a, b)


_BINARY: Final[dict[Any, Callable[[Any, Any], Any]]] = {
    operators.eq: _known(operator.eq),
    operators.ne: _known(operator.ne),
    operators.lt: _known(operator.lt),
    operators.le: _known(operator.le),
    operators.gt: _known(operator.gt),
    operators.ge: _known(operator.ge),
    operators.add: _known(operator.add),
    operators.sub: _known(operator.sub),
    operators.mul: _known(operator.mul),
    operators.is_: operator.is_,
    operators.is_not: operator.is_not,
}


def compiled(node: Any, outer: frozenset[Any] = frozenset()) -> Any:
    """Return the function for an expression; ``outer`` are tables around it."""
    for kind, build in _BUILDERS:
        if isinstance(node, kind):
            return build(node, outer)
    raise NotImplementedError(f"{type(node).__name__} in a statement: {node}")


def stored(column: Any, value: Any) -> Any:
    """Return what a column keeps of a value, as a driver would hand it over."""
    if isinstance(column.type, JSON):
        if value is None and column.type.none_as_null:
            return None
        return json.loads(json.dumps(value))
    return bound(column.type, value)


def bound(kind: Any, value: Any) -> Any:
    """Return a parameter as the database gets it."""
    process = getattr(kind, "process_bind_param", None)
    if process is not None:
        value = process(value, None)
    if isinstance(value, str):
        return str.__str__(value)  # of an enumeration, the bare word
    return value


# ONE BUILDER FOR EACH KIND


def _column(node: Column[Any], outer: frozenset[Any]) -> Any:
    table, name = node.table, node.key

    def value(rows: Any, params: Any, look: Any) -> Any:
        row = rows[table]
        return None if row is None else row[name]

    return value


def _parameter(node: Any, outer: frozenset[Any]) -> Any:
    name, kind, default = node.key, node.type, node.value
    if node.required or default is None:

        def value(rows: Any, params: Any, look: Any) -> Any:
            found = params[name]
            if isinstance(found, list | tuple | set | frozenset) and node.expanding:
                return [bound(kind, one) for one in found]
            return bound(kind, found)

        return value
    if node.expanding:
        fixed: Any = [bound(kind, one) for one in default]
    else:
        fixed = bound(kind, default)
    return lambda rows, params, look: fixed


def _binary(node: Any, outer: frozenset[Any]) -> Any:
    if node.operator is operators.in_op:
        return _among(node, outer)
    if node.operator is operators.between_op:
        return _between(node, outer)
    if node.operator is operators.not_between_op:
        inside = _between(node, outer)
        return lambda rows, params, look: _not(inside(rows, params, look))
    compare = _BINARY[node.operator]
    left, right = compiled(node.left, outer), compiled(node.right, outer)
    return lambda rows, params, look: compare(
        left(rows, params, look), right(rows, params, look)
    )


def _among(node: Any, outer: frozenset[Any]) -> Any:
    left, right = compiled(node.left, outer), _several(node.right, outer)

    def value(rows: Any, params: Any, look: Any) -> Any:
        wanted = left(rows, params, look)
        return None if wanted is None else wanted in right(rows, params, look)

    return value


def _several(node: Any, outer: frozenset[Any]) -> Any:
    if isinstance(node, selectable.ScalarSelect | elements.Grouping):
        return _several(node.element, outer)
    if isinstance(node, selectable.SelectBase):
        return _listed(node, outer)
    return compiled(node, outer)


def _between(node: Any, outer: frozenset[Any]) -> Any:
    value = compiled(node.left, outer)
    low, high = (compiled(one, outer) for one in node.right.clauses)

    def inside(rows: Any, params: Any, look: Any) -> Any:
        one = value(rows, params, look)
        ends = low(rows, params, look), high(rows, params, look)
        return None if one is None or None in ends else ends[0] <= one <= ends[1]

    return inside


def _several_clauses(node: Any, outer: frozenset[Any]) -> Any:
    parts = [compiled(one, outer) for one in node.clauses]
    if node.operator is operators.and_:
        return lambda rows, params, look: _all(
            part(rows, params, look) for part in parts
        )
    if node.operator is operators.or_:
        return lambda rows, params, look: _any(
            part(rows, params, look) for part in parts
        )
    raise NotImplementedError(f"{node.operator} in a statement: {node}")


def _all(values: Iterator[Any]) -> Any:
    found: Any = True
    for value in values:
        if value is None:
            found = None
        elif not value:
            return False
    return found


def _any(values: Iterator[Any]) -> Any:
    found: Any = False
    for value in values:
        if value is None:
            found = None
        elif value:
            return True
    return found


def _not(value: Any) -> Any:
    return None if value is None else not value


def _unary(node: Any, outer: frozenset[Any]) -> Any:
    inner = compiled(node.element, outer)
    if node.operator is operators.inv:
        return lambda rows, params, look: _not(inner(rows, params, look))
    return inner


def _exists(node: Any, outer: frozenset[Any]) -> Any:
    inner = node.element
    while isinstance(inner, elements.Grouping | selectable.ScalarSelect):
        inner = inner.element
    listed = _listed(inner, outer, lazily=True)
    return lambda rows, params, look: any(True for _ in listed(rows, params, look))


def _scalar(node: Any, outer: frozenset[Any]) -> Any:
    listed = _listed(node.element, outer)
    return lambda rows, params, look: next(iter(listed(rows, params, look)), None)


def _listed(select: Any, outer: frozenset[Any], *, lazily: bool = False) -> Any:
    """Return what a subquery of one column gives, for a row of the query around it."""
    from simulation.database.queries import Query

    query = Query(select, outer)

    def values(rows: Any, params: Any, look: Any) -> Any:
        found = (row[0] for row in query.results(look, params, rows))
        return found if lazily else list(found)

    return values


def _function(node: Any, outer: frozenset[Any]) -> Any:
    raise NotImplementedError(f"the function {node.name} outside of a column: {node}")


def _literal(node: Any, outer: frozenset[Any]) -> Any:
    value = 1 if str(node) == "*" else int(str(node))
    return lambda rows, params, look: value


def _constant(*, value: Any) -> Any:
    return lambda node, outer: lambda rows, params, look: value


_BUILDERS: Final[tuple[tuple[Any, Any], ...]] = (
    (elements.Null, _constant(value=None)),
    (elements.True_, _constant(value=True)),
    (elements.False_, _constant(value=False)),
    (Column, _column),
    (elements.BindParameter, _parameter),
    (elements.Label, lambda node, outer: compiled(node.element, outer)),
    (selectable.Exists, _exists),
    (selectable.ScalarSelect, _scalar),
    (elements.AsBoolean, _unary),
    (elements.UnaryExpression, _unary),
    (elements.BinaryExpression, _binary),
    (elements.BooleanClauseList, _several_clauses),
    (elements.Grouping, lambda node, outer: compiled(node.element, outer)),
    (functions.FunctionElement, _function),
    (elements.ColumnClause, _literal),
)

__all__ = ["Look", "Table", "bound", "compiled", "stored"]
