"""Rows of generations, votes and nodes, read as values.  Effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, or_, select

from pointsman.cluster import (
    Actor,
    Change,
    Contents,
    Entry,
    Failed,
    Generation,
    NodeRecord,
    NodeState,
    State,
    Vote,
)
from pointsman.ledger.decisions import applied
from pointsman.ledger.schema import (
    change,
    entry,
    generation,
    node,
    service_change,
    stopped,
    vote,
)
from pointsman.model import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from sqlalchemy import Connection, Row, Select

_KINDS: Final = {str(kind): kind for kind in Kind}

# Columns in the order of the fields of a `cluster.Entry`.
_CHANGE: Final = (
    change.c.package,
    change.c.digest,
    change.c.kind,
    change.c.file,
    change.c.source,
    change.c.version,
    change.c.size,
)
_ENTRY: Final = tuple(entry.c[column.name] for column in _CHANGE)

_RANGE: Final[tuple[Any, Any]] = (bindparam("first"), bindparam("last"))
_CHANGES: Final = (
    select(change.c.generation, *_CHANGE)
    .where(change.c.generation.between(*_RANGE))
    .order_by(change.c.generation, change.c.package)
)
_SERVICES: Final = select(
    service_change.c.generation, service_change.c.service, service_change.c.stopped
).where(service_change.c.generation.between(*_RANGE))
_ONE: Final = select(generation).where(generation.c.number == bindparam("number"))
_COMING: Final = (
    select(generation)
    .where(generation.c.state.in_([State.QUEUED, State.STAGING]))
    .order_by(generation.c.number)
)
_PAGE: Final = (
    select(generation)
    .where(generation.c.number < bindparam("before"))
    .order_by(generation.c.number.desc())
    .limit(bindparam("limit"))
)
_VOTES: Final = (
    select(vote).where(vote.c.generation == bindparam("number")).order_by(vote.c.node)
)


def _valid_at(table: Any) -> Any:
    number: Any = bindparam("number")
    return (table.c.since <= number) & or_(
        table.c.until > number, table.c.until.is_(None)
    )


_ENTRIES_AT: Final = select(*_ENTRY).where(_valid_at(entry))
_SOME_ENTRIES_AT: Final = _ENTRIES_AT.where(
    entry.c.package.in_(bindparam("packages", expanding=True))
)
_STOPPED_AT: Final = select(stopped.c.service).where(_valid_at(stopped))


# GENERATIONS


def one_generation(connection: Connection, number: int) -> Generation | None:
    """Return a record with its votes."""
    row = connection.execute(_ONE, {"number": number}).first()
    if row is None:
        return None
    votes = tuple(map(_vote, connection.execute(_VOTES, {"number": number})))
    return _records(connection, [row], {number: votes})[0]


def coming_generations(connection: Connection) -> tuple[Generation, ...]:
    """Return what is staging or queued, in order, without votes."""
    return _records(connection, connection.execute(_COMING).all())


def page_of_generations(
    connection: Connection, limit: int, before: int
) -> tuple[Generation, ...]:
    """Return records below ``before``, the newest first, without votes."""
    rows = connection.execute(_PAGE, {"limit": limit, "before": before}).all()
    return _records(connection, rows)


def _records(
    connection: Connection,
    rows: Sequence[Row[Any]],
    votes: Mapping[int, tuple[Vote, ...]] | None = None,
) -> tuple[Generation, ...]:
    if not rows:
        return ()
    numbers = [row.number for row in rows]
    span = {"first": min(numbers), "last": max(numbers)}
    changes: dict[int, list[Change]] = {}
    for number, *columns in connection.execute(_CHANGES, span):
        changes.setdefault(number, []).append(_change(columns))
    services: dict[tuple[int, bool], list[str]] = {}
    for number, service, stops in connection.execute(_SERVICES, span):
        services.setdefault((number, stops), []).append(service)
    return tuple(
        _record(row, changes, services, (votes or {}).get(row.number, ()))
        for row in rows
    )


def _record(
    row: Row[Any],
    changes: Mapping[int, Iterable[Change]],
    services: Mapping[tuple[int, bool], Iterable[str]],
    votes: tuple[Vote, ...],
) -> Generation:
    return Generation(
        number=row.number,
        state=State(row.state),
        actor=Actor(row.actor, row.address),
        what=row.what,
        base=row.base,
        note=row.note,
        reason=row.reason,
        changes=tuple(changes.get(row.number, ())),
        stop=frozenset(services.get((row.number, True), ())),
        start=frozenset(services.get((row.number, False), ())),
        proposed_at=row.proposed_at,
        staged_at=row.staged_at,
        deadline=row.deadline,
        decided_at=row.decided_at,
        votes=votes,
        parent=row.parent,
    )


def changes_of(connection: Connection, number: int) -> tuple[Change, ...]:
    """Return what a generation changes, by package."""
    rows = connection.execute(_CHANGES, {"first": number, "last": number})
    return tuple(_change(columns) for _, *columns in rows)


def _change(columns: Sequence[Any]) -> Change:
    package, digest = columns[:2]
    return Change(package, _entry(columns) if digest else None)


def _entry(columns: Sequence[Any]) -> Entry:
    package, digest, kind, file, source, version, size = columns
    known = _KINDS.get(kind) or Kind(kind)
    return Entry(package, digest, known, file, source, version, size)


def _vote(row: Row[Any]) -> Vote:
    return Vote(
        node=row.node,
        loaded=row.loaded,
        reason=row.reason,
        failures=tuple(Failed(**failed) for failed in row.failures),
        voted_at=row.voted_at,
        duration=row.duration,
        switched_at=row.switched_at,
        left=row.departure,
    )


# CONTENTS


def entries_at(
    connection: Connection, number: int, packages: Collection[str]
) -> dict[str, Entry]:
    """Return what a generation that was active has of some packages."""
    if not packages:
        return {}
    values = {"number": number, "packages": list(packages)}
    rows = connection.execute(_SOME_ENTRIES_AT, values)
    return {row[0]: _entry(row) for row in rows}


def stopped_at(connection: Connection, number: int) -> frozenset[str]:
    """Return which services are stopped in a generation that was active."""
    return frozenset(connection.execute(_STOPPED_AT, {"number": number}).scalars())


def contents_at(connection: Connection, number: int) -> Contents:
    """Return all that a generation serves that was active, or is."""
    rows = connection.execute(_ENTRIES_AT, {"number": number})
    entries = {row[0]: _entry(row) for row in rows}
    return Contents(number, entries, stopped_at(connection, number))


def state_of(connection: Connection, number: int) -> tuple[State, int | None] | None:
    """Return what became of a generation, and on which one it was staged."""
    row = connection.execute(_ONE, {"number": number}).first()
    return None if row is None else (State(row.state), row.parent)


def staged_on(connection: Connection, number: int, base: Contents) -> Contents:
    """Return what a generation serves that was staged on ``base``."""
    changes = changes_of(connection, number)
    span = {"first": number, "last": number}
    stop: set[str] = set()
    start: set[str] = set()
    for _, service, stops in connection.execute(_SERVICES, span):
        (stop if stops else start).add(service)
    return applied(base, number, changes, stop, start)


# NODES


def node_of(row: Row[Any]) -> NodeRecord:
    """Read a row with all columns of ``node``."""
    return NodeRecord(
        id=row.id,
        host=row.host,
        pid=row.pid,
        started=row.started,
        release=row.release,
        python=row.python,
        state=NodeState(row.state),
        generation=row.generation,
        joined_at=row.joined_at,
        lease_until=row.lease_until,
        reason=row.reason,
        report=row.report,
        serves=row.serves,
    )


ALL_NODES: Final[Select[Any]] = select(node).order_by(
    node.c.host, node.c.pid, node.c.id
)
