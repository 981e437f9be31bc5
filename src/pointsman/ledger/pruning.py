"""What is old goes, and the ledger keeps its size.  Effects."""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import and_, bindparam, delete, exists, func, literal, or_, select

from pointsman.cluster import State
from pointsman.ledger import decisions
from pointsman.ledger.artifacts import UNCLAIMED
from pointsman.ledger.part import Part
from pointsman.ledger.schema import (
    artifact,
    change,
    claim,
    entry,
    event,
    generation,
    node,
    stopped,
)

#: Events, for each generation that is kept.
EVENTS: Final = 10

#: Claims of picked-up files that stay at least: a directory may be looked at again
#: after a long time, and what it holds then must not be taken for something new.
CLAIMS: Final = 10_000

#: How long a node is listed that nobody has heard of any more, in seconds.
LISTED: Final = 24 * 3600.0

_NOW: Final[Any] = bindparam("now")
_STATES: Final = select(
    generation.c.number, generation.c.state, generation.c.base, generation.c.parent
)
_GENERATIONS: Final = delete(generation).where(
    generation.c.number.in_(bindparam("numbers", expanding=True))
)
_ENDED: Final = tuple(
    delete(table).where(table.c.until <= bindparam("floor"))
    for table in (entry, stopped)
)
_ARTIFACTS: Final = delete(artifact).where(
    or_(
        artifact.c.digest.is_(None),
        and_(
            ~exists(literal(1)).where(entry.c.digest == artifact.c.digest),
            ~exists(literal(1)).where(change.c.digest == artifact.c.digest),
        ),
    ),
    # One that seems to come from the future was stored before the clock was set
    # back: it may be new.
    artifact.c.stored_at < _NOW - UNCLAIMED,
)
_EVENTS: Final = delete(event).where(
    event.c.id <= select(func.max(event.c.id) - bindparam("many")).scalar_subquery()
)
_CLAIMS: Final = delete(claim).where(
    claim.c.id <= select(func.max(claim.c.id) - bindparam("many")).scalar_subquery()
)
_NODES: Final = delete(node).where(node.c.lease_until < _NOW - LISTED)


class Pruning(Part):
    """`interfaces.Ledger.prune`."""

    def prune(self, keep: int) -> int:
        """See `interfaces.Ledger.prune`."""
        with self._database.writing() as connection:
            self._lock(connection)
            rows = connection.execute(_STATES).all()
            states = {row.number: State(row.state) for row in rows}
            kept = decisions.kept(states, keep)
            dropped = sorted(states.keys() - kept)
            if dropped:
                connection.execute(_GENERATIONS, {"numbers": dropped})
                needed = [n for row in rows if row.number in kept for n in _needs(row)]
                for statement in _ENDED:
                    connection.execute(statement, {"floor": min(needed, default=0)})
            now = self._database.now(connection)
            unnamed = connection.execute(_ARTIFACTS, {"now": now}).rowcount
            connection.execute(_EVENTS, {"many": EVENTS * keep})
            connection.execute(_CLAIMS, {"many": max(CLAIMS, EVENTS * keep)})
            connection.execute(_NODES, {"now": now})
        if unnamed:
            self._database.shrink()
        return len(dropped)


def _needs(row: Any) -> list[int]:
    """Return the generations whose entries are needed to tell what this one serves."""
    if row.state in (State.ACTIVE, State.RETIRED):
        return [row.number]
    if row.state == State.FAILED:
        return [] if row.parent is None else [row.parent]
    return [row.base] if row.parent is None else [row.base, row.parent]
