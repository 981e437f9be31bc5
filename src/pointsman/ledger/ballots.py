"""Staging, deciding, failing: what the cluster row is locked for.  Effects.

Each method here is called within a transaction that has locked that row.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import (
    and_,
    bindparam,
    exists,
    false,
    insert,
    literal_column,
    null,
    or_,
    select,
    true,
    update,
)

from pointsman.cluster import Actor, Contents, NodeState, State, Vote
from pointsman.ledger import decisions
from pointsman.ledger.records import changes_of, entries_at
from pointsman.ledger.schema import (
    change,
    cluster,
    entry,
    generation,
    node,
    service_change,
    stopped,
    vote,
)
from pointsman.ledger.voters import Voters

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from sqlalchemy import Connection

_NUMBER: Final[Any] = bindparam("of")
_NOW: Final[Any] = bindparam("now")

# A ballot

_BALLOT: Final = (
    select(
        vote.c.node,
        vote.c.loaded,
        vote.c.reason,
        vote.c.departure,
        node.c.lease,
        node.c.lease_until,
    )
    .select_from(vote.outerjoin(node, node.c.id == vote.c.node))
    .where(vote.c.generation == _NUMBER)
    .order_by(vote.c.node)
)
_TIMES: Final = select(
    generation.c.deadline,
    generation.c.timeout,
    generation.c.actor,
    generation.c.address,
).where(generation.c.number == _NUMBER)
_OPEN_BALLOT: Final = (
    insert(vote)
    .from_select(
        ["generation", "node", "failures"],
        select(
            bindparam("of", type_=vote.c.generation.type),
            node.c.id,
            bindparam("failures", type_=vote.c.failures.type),
        ).where(
            node.c.state == NodeState.READY,
            # Who is silent and not known dead may serve: it votes, until it is absent.
            or_(
                node.c.lease_until > _NOW,
                node.c.lease_until - node.c.lease > _NOW - bindparam("absent"),
            ),
        ),
    )
    .execution_options(preserve_rowcount=True)
)
# Times that lie too far ahead (see `decisions`)

BOUND_LEASES: Final = (
    update(node)
    .where(node.c.lease_until > _NOW + node.c.lease)
    .values(lease_until=_NOW + node.c.lease)
)
_BOUND_DEADLINE: Final = (
    update(generation)
    .where(generation.c.number == _NUMBER)
    .values(deadline=bindparam("until"))
)

# Ends

_FAIL: Final = (
    update(generation)
    .where(generation.c.number == _NUMBER)
    .values(state=State.FAILED, reason=bindparam("why"), decided_at=_NOW)
)
_NOT_STAGING: Final = update(cluster).where(cluster.c.id == 1).values(staging=null())
_ACTIVE: Final = (
    update(cluster)
    .where(cluster.c.id == 1)
    .values(active=bindparam("of"), staging=null())
)
_RETIRE: Final = (
    update(generation)
    .where(generation.c.state == State.ACTIVE)
    .values(state=State.RETIRED)
)
_ACTIVATE: Final = (
    update(generation)
    .where(generation.c.number == _NUMBER)
    .values(state=State.ACTIVE, decided_at=_NOW)
)
_END_ENTRIES: Final = (
    update(entry)
    .where(entry.c.until.is_(None))
    .where(
        entry.c.package.in_(
            select(change.c.package).where(change.c.generation == _NUMBER)
        )
    )
    .values(until=bindparam("from_now"))
)
_ENTRY_COLUMNS: Final = (
    "package",
    "digest",
    "kind",
    "file",
    "source",
    "version",
    "size",
)
_NEW_ENTRIES: Final = insert(entry).from_select(
    [*_ENTRY_COLUMNS, "since"],
    select(*(change.c[name] for name in _ENTRY_COLUMNS), change.c.generation).where(
        change.c.generation == _NUMBER, change.c.digest.is_not(None)
    ),
)
_RUNNING: Final = select(service_change.c.service).where(
    service_change.c.generation == _NUMBER, service_change.c.stopped == false()
)
_END_STOPPED: Final = (
    update(stopped)
    .where(stopped.c.until.is_(None), stopped.c.service.in_(_RUNNING))
    .values(until=bindparam("from_now"))
)
_NEW_STOPPED: Final = insert(stopped).from_select(
    ["service", "since"],
    select(service_change.c.service, service_change.c.generation).where(
        service_change.c.generation == _NUMBER,
        service_change.c.stopped == true(),
        ~exists(literal_column("1")).where(
            and_(
                stopped.c.service == service_change.c.service,
                stopped.c.until.is_(None),
            )
        ),
    ),
)

# Beginnings

_NEXT: Final = (
    select(generation.c.number, generation.c.base, generation.c.timeout)
    .where(generation.c.state == State.QUEUED)
    .order_by(generation.c.number)
    .limit(1)
)
_STAGE: Final = (
    update(generation)
    .where(generation.c.number == _NUMBER)
    .values(
        state=State.STAGING,
        staged_at=_NOW,
        deadline=bindparam("until"),
        parent=bindparam("on"),
    )
)
_STAGING: Final = (
    update(cluster).where(cluster.c.id == 1).values(staging=bindparam("of"))
)

#: Why a node does not count that may be gone: it is listed until it is, or returns.
CUT_OFF: Final = "its connection to the ledger has ended, and no sign of life came"

_CUT_OFF: Final = (
    update(node)
    .where(node.c.id == bindparam("who"), node.c.state == NodeState.READY)
    .values(state=NodeState.JOINING, reason=bindparam("why"))
)


def _counted(row: Any, lost: Mapping[str, bool]) -> Vote:
    left = row.departure or (CUT_OFF if lost.get(row.node) else "")
    return Vote(row.node, row.loaded, row.reason, left=left)


class Ballots(Voters):
    """What is decided, and what begins then."""

    def _decide(
        self,
        connection: Connection,
        *,
        gone: Collection[str] = (),
        overdue: int | None = None,
    ) -> bool:
        """Do all that `interfaces.Ledger.advance` does; the lock is held."""
        seen = self._lock(connection)
        changed = False
        for name in sorted(gone):
            why = "its process is gone"
            changed |= self._forget_node(connection, name, seen.staging, why)
        active = seen.active
        if seen.staging is not None:
            found = self._verdict(connection, seen.staging, overdue=overdue)
            if found is decisions.DESERTED:
                return self._call_up(connection, seen.staging) or changed
            if found is decisions.WAITING:
                return changed
            if found is decisions.DECIDED:
                active = self._activate(connection, seen.staging)
            else:
                self._fail(connection, seen.staging, found.reason)
                self._end_staging(connection)
            changed = True
        return self._stage_next(connection, active) or changed

    def _verdict(
        self, connection: Connection, number: int, *, overdue: int | None
    ) -> decisions.Verdict:
        now = self._database.now(connection)
        times = connection.execute(_TIMES, {"of": number}).one()
        deadline = decisions.bounded(times.deadline, times.timeout, now)
        if deadline < times.deadline:
            connection.execute(_BOUND_DEADLINE, {"of": number, "until": deadline})
        rows = connection.execute(_BALLOT, {"of": number}).all()
        known = [row for row in rows if row.lease is not None]
        leases = {
            row.node: decisions.bounded(row.lease_until, row.lease, now)
            for row in known
        }
        if any(leases[row.node] < row.lease_until for row in known):
            connection.execute(BOUND_LEASES, {"now": now})
        lost = self._lost(connection, number, known, now)
        for name, is_lost in lost.items():
            leases[name] = now if is_lost else math.inf
        return decisions.verdict(
            [_counted(row, lost) for row in rows],
            leases,
            now=now,
            deadline=deadline,
            overdue=overdue == number,
        )

    def _lost(
        self, connection: Connection, number: int, rows: Iterable[Any], now: float
    ) -> dict[str, bool]:
        """Return the silent ones nobody vouches for; those that are lost depart.

        They are gone, or cut off: whoever comes back joins what is decided then.
        """
        silent = [
            row.node
            for row in rows
            if not row.departure
            and decisions.is_silent(row.lease_until, row.lease, now)
        ]
        if not silent:
            return {}
        found = self._database.lost(connection, silent)
        for name in sorted(name for name, is_lost in found.items() if is_lost):
            self._depart(connection, name, number, CUT_OFF)
            connection.execute(_CUT_OFF, {"who": name, "why": CUT_OFF})
            self._note(connection, Actor(f"node {name}"), "node cut off", name)
        return found

    def _activate(self, connection: Connection, number: int) -> int:
        values = {"of": number, "now": self._database.now(connection)}
        connection.execute(_RETIRE)
        connection.execute(_ACTIVATE, values)
        connection.execute(_ACTIVE, values)
        for end, begin in ((_END_ENTRIES, _NEW_ENTRIES), (_END_STOPPED, _NEW_STOPPED)):
            connection.execute(end, {"of": number, "from_now": number})
            connection.execute(begin, {"of": number})
        self._note_decision(connection, number, "active")
        self._tell(connection)
        return number

    def _fail(self, connection: Connection, number: int, reason: str) -> None:
        now = self._database.now(connection)
        connection.execute(_FAIL, {"of": number, "why": reason, "now": now})
        self._note_decision(connection, number, "failed", reason)

    def _end_staging(self, connection: Connection) -> None:
        connection.execute(_NOT_STAGING)
        self._tell(connection)

    def _note_decision(
        self, connection: Connection, number: int, what: str, detail: str = ""
    ) -> None:
        row = connection.execute(_TIMES, {"of": number}).one()
        actor = Actor(row.actor, row.address)
        self._note(connection, actor, what, generation=number, detail=detail)

    def _stage_next(self, connection: Connection, active: int) -> bool:
        """Begin with the first queued proposal that can be put on ``active``."""
        changed = False
        while (row := connection.execute(_NEXT).first()) is not None:
            changed = True
            clash = self._conflict(connection, row.number, row.base, active)
            if not clash:
                self._stage(connection, row.number, row.timeout, active)
                break
            self._fail(connection, row.number, clash)
        return changed

    def _conflict(
        self, connection: Connection, number: int, base: int, active: int
    ) -> str:
        if base == active:
            return ""
        changes = changes_of(connection, number)
        names = [one.package for one in changes]
        return decisions.conflict(
            changes,
            entries_at(connection, base, names),
            Contents(active, entries_at(connection, active, names)),
        )

    def _stage(
        self, connection: Connection, number: int, timeout: float, active: int
    ) -> None:
        now = self._database.now(connection)
        values = {"of": number, "now": now, "until": now + timeout, "on": active}
        connection.execute(_STAGE, values)
        connection.execute(_STAGING, {"of": number})
        connection.execute(BOUND_LEASES, {"now": now})
        ballot = {"failures": [], "absent": self._absent_after}
        opened = connection.execute(_OPEN_BALLOT, {**values, **ballot})
        if not opened.rowcount:
            self._call_up(connection, number)
        self._tell(connection)
