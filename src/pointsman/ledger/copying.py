"""All of a ledger, into another one: another database, a backup.  Effects.

What belongs to running processes stays behind: nodes, who scans a directory, what was
asked.  Everything else is read as of one moment, and written in one transaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import delete, func, insert, select, update

from pointsman.cluster import State
from pointsman.errors import LedgerError
from pointsman.ledger.schema import (
    alembic_version,
    artifact,
    chunk,
    cluster,
    event,
    generation,
    metadata,
    node,
    question,
    scanner,
    schema,
    token,
    user,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Connection, Row, Select, Table

    from pointsman.ledger.database import Database

#: How many rows are held in memory; of those with the bytes of artifacts.
ROWS, CHUNKS = 1000, 8

_LEFT: Final = {schema, alembic_version, cluster, node, question, scanner}
_COPIED: Final = tuple(t for t in metadata.sorted_tables if t not in _LEFT)
_CLUSTER: Final = select(cluster).where(cluster.c.id == 1)
_SET_CLUSTER: Final = update(cluster).where(cluster.c.id == 1)
_COMING: Final = (
    select(generation.c.number)
    .where(generation.c.state.in_([State.STAGING, State.QUEUED]))
    .order_by(generation.c.number)
)


@dataclass(frozen=True, slots=True)
class Copied:
    """What was copied: rows by table, and the bytes of all artifacts."""

    active: int
    rows: dict[str, int]
    size: int


def copy(
    source: Database,
    target: Database,
    on_table: Callable[[str], None] = lambda _: None,
) -> Copied:
    """Copy one ledger into another, which must be new; both have their tables.

    Blocks as long as it takes; ``on_table`` is told the name of each.  Nodes that use
    the target meanwhile see nothing of it, and then all.

    Raises:
        LedgerError: one of them cannot be used, something is on its way in the
            source, or the target is not new; then nothing is copied.

    """
    with source.reading() as reading, target.writing() as writing:
        source.unhurried(reading)
        target.unhurried(writing)
        seen = reading.execute(_CLUSTER).one()
        _require_quiet(source, reading)
        _require_new(target, writing)
        rows = {}
        for table in _COPIED:
            on_table(table.name)
            rows[table.name] = _copy_table(table, reading, writing)
        writing.execute(_SET_CLUSTER.values(_of_cluster(seen)))
        target.renumber(writing)
        target.tell(writing)
        size = writing.execute(select(func.sum(artifact.c.size))).scalar() or 0
    return Copied(seen.active, rows, int(size))


def _require_quiet(source: Database, reading: Connection) -> None:
    coming = reading.execute(_COMING).scalars().first()
    if coming is not None:
        reason = (
            f"generation {coming} is on its way; wait until it is decided, and keep "
            "others from deploying meanwhile: pointsman lock"
        )
        raise LedgerError(source.url, reason)


def _require_new(target: Database, writing: Connection) -> None:
    seen = writing.execute(_CLUSTER.with_for_update()).one()
    people = [
        writing.execute(select(func.count()).select_from(t)) for t in (token, user)
    ]
    if seen.newest or any(found.scalar() for found in people):
        reason = (
            f"it has something in it already, up to generation {seen.newest}; name one "
            "that is new, or empty"
        )
        raise LedgerError(target.url, reason)
    writing.execute(delete(event))  # that nodes have come and gone
    writing.execute(delete(artifact))  # what somebody sent, and never proposed


def _copy_table(table: Table, reading: Connection, writing: Connection) -> int:
    count = 0
    at_once = CHUNKS if table is chunk else ROWS
    found = reading.execute(_rows(table), execution_options={"yield_per": at_once})
    for part in found.mappings().partitions():
        writing.execute(insert(table).inline(), [dict(row) for row in part])
        count += len(part)
    return count


def _rows(table: Table) -> Select[Any]:
    """Return what is copied of a table; not what is still being stored."""
    if table is artifact:
        return select(table).where(artifact.c.digest.is_not(None))
    if table is chunk:
        whole = chunk.c.artifact == artifact.c.id
        return select(table).join(artifact, whole).where(artifact.c.digest.is_not(None))
    return select(table)


def _of_cluster(seen: Row[Any]) -> dict[str, object]:
    values = dict(seen._mapping)  # noqa: SLF001 - its public name
    del values["id"]
    return values
