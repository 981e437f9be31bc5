"""Nodes, and their votes.  Effects."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, exists, func, insert, select, update

from pointsman.cluster import Actor, NodeState, Observation, State
from pointsman.ledger.ballots import BOUND_LEASES
from pointsman.ledger.questions import STATE_OF, Questions, known_state, open_questions
from pointsman.ledger.records import ALL_NODES, node_of, one_generation
from pointsman.ledger.schema import cluster, generation, node, question, vote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from pointsman.cluster import NodeRecord, Vote
    from pointsman.interfaces import Hints

_WHO: Final[Any] = bindparam("who")
_NOW: Final[Any] = bindparam("now")

# One look, for which a node that has nothing to do needs no second statement.
_LOOK: Final = (
    select(
        cluster.c.active,
        cluster.c.staging,
        cluster.c.reloads,
        cluster.c.confirming,
        exists().where(generation.c.state == State.QUEUED).label("queued"),
        select(func.count())
        .where(question.c.node == _WHO, question.c.answer.is_(None))
        .scalar_subquery()
        .label("asked"),
        node,
    )
    .select_from(cluster.outerjoin(node, node.c.id == _WHO))
    .where(cluster.c.id == 1)
)
_OF_HOST: Final = ALL_NODES.where(node.c.host == bindparam("of_host"))
_SET_NODE: Final = update(node).where(node.c.id == _WHO)
_DELETE: Final = delete(node).where(node.c.id == _WHO)
_JOIN: Final = insert(node).inline()
_BEAT: Final = _SET_NODE.values(
    lease=bindparam("length"), lease_until=bindparam("until")
)
_BEAT_AND_TELL: Final = _BEAT.values(report=bindparam("said"))
_AHEAD: Final = select(node.c.id).where(
    node.c.id == _WHO, node.c.lease_until > _NOW + node.c.lease
)
_ALIVE: Final = _SET_NODE.values(lease_until=_NOW + node.c.lease)
_READY: Final = _SET_NODE.where(node.c.state != NodeState.DRAINING).values(
    state=NodeState.READY,
    generation=bindparam("number"),
    reason="",
    lease_until=_NOW + node.c.lease,
)
_STATE: Final = _SET_NODE.values(
    state=bindparam("to"), generation=bindparam("number"), reason=bindparam("why")
)
_MOVE: Final = _SET_NODE.values(state=bindparam("to"), reason="")
_SERVES: Final = _SET_NODE.values(generation=bindparam("number"))

# Votes

_OF_BALLOT: Final = (vote.c.generation == bindparam("of"), vote.c.node == _WHO)
_MISSING: Final = (
    select(vote.c.node)
    .where(vote.c.generation == bindparam("of"), vote.c.departure == "")
    .where(vote.c.loaded.is_(None))
    .limit(1)
)
_VOTE: Final = (
    update(vote)
    .where(*_OF_BALLOT, vote.c.departure == "", vote.c.loaded.is_(None))
    .values(
        loaded=bindparam("is_loaded"),
        reason=bindparam("why"),
        failures=bindparam("failed"),
        voted_at=_NOW,
        duration=bindparam("took"),
    )
)
_SWITCHED: Final = (
    update(vote)
    .where(*_OF_BALLOT, vote.c.switched_at.is_(None))
    .values(switched_at=_NOW)
)


class Nodes(Questions):
    """Who serves, and what they say."""

    def observe(self, node: str) -> Observation:
        """See `interfaces.Ledger.observe`."""
        with self._database.reading() as connection:
            now = self._database.now(connection)
            row = connection.execute(_LOOK, {"who": node}).one()
            staging = row.staging
            return Observation(
                now=now,
                active=row.active,
                staging=one_generation(connection, staging) if staging else None,
                queued=row.queued,
                me=None if row.id is None else node_of(row),
                reloads=row.reloads,
                confirming=row.confirming,
                questions=open_questions(connection, node, now) if row.asked else (),
            )

    def changed(self) -> bool:
        """See `interfaces.Ledger.changed`."""
        return self._database.changed()

    def hints(self) -> Hints | None:
        """See `interfaces.Ledger.hints`."""
        return self._database.hints()

    def nodes(self, host: str = "") -> tuple[NodeRecord, ...]:
        """See `interfaces.Ledger.nodes`."""
        wanted = _OF_HOST if host else ALL_NODES
        values = {"of_host": host} if host else {}
        with self._database.reading() as connection:
            return tuple(map(node_of, connection.execute(wanted, values)))

    # SIGNS OF LIFE

    def join(self, node: NodeRecord, *, lease: float) -> None:
        """See `interfaces.Ledger.join`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            now = self._database.now(connection)
            known = connection.execute(_DELETE, {"who": node.id}).rowcount > 0
            values = asdict(node)
            values |= {
                "state": _state_of(node),
                "joined_at": now,
                "lease": lease,
                "lease_until": now + lease,
            }
            connection.execute(_JOIN, values)
            actor = Actor(f"node {node.id}", node.host)
            if not known:
                self._note(connection, actor, "node joined", node.id)
            if self._depart(connection, node.id, seen.staging, "it joins anew"):
                self._decide(connection)
        self._database.vouch(node.id)

    def beat(
        self, node: str, *, lease: float, report: Mapping[str, object] | None = None
    ) -> bool:
        """See `interfaces.Ledger.beat`."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            ahead = connection.execute(_AHEAD, {"who": node, "now": now})
            is_ahead = ahead.first() is not None
            values = {"who": node, "length": lease, "until": now + lease}
            if report is None:
                done = connection.execute(_BEAT, values)
            else:
                done = connection.execute(_BEAT_AND_TELL, {**values, "said": report})
        if is_ahead:
            self._bound_leases()
        return done.rowcount > 0

    def _bound_leases(self) -> None:
        """Cut down leases that lie too far ahead: the clock was set back.

        Under the cluster row's lock: of two that cut at one moment, each would have a
        row that the other wants.
        """
        with self._database.writing() as connection:
            self._lock(connection)
            now = self._database.now(connection)
            connection.execute(BOUND_LEASES, {"now": now})

    def ready(self, node: str, number: int) -> bool:
        """See `interfaces.Ledger.ready`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            if seen.active != number:
                return False
            values = {"who": node, "number": number}
            now = self._database.now(connection)
            if not connection.execute(_READY, {**values, "now": now}).rowcount:
                return False
            # It serves it: also where that could not be written when it switched.
            connection.execute(_SWITCHED, {"of": number, "who": node, "now": now})
            if seen.staging is not None:
                self._enter(connection, node, seen.staging)
            return True

    def set_state(
        self, node: str, state: NodeState, *, generation: int, reason: str = ""
    ) -> None:
        """See `interfaces.Ledger.set_state`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            was = connection.execute(STATE_OF, {"who": node}).scalar()
            if was is None:
                return
            if was == NodeState.DRAINING:
                state = NodeState.DRAINING
            values = {"who": node, "to": state, "number": generation, "why": reason}
            connection.execute(_STATE, values)
            if was != state:
                actor = Actor(f"node {node}")
                self._note(connection, actor, f"node {state}", node, detail=reason)
            why = f"it is {state}" + (f": {reason}" if reason else "")
            if self._depart(connection, node, seen.staging, why):
                self._decide(connection)

    def drain(self, node: str, actor: Actor) -> bool:
        """See `interfaces.Ledger.drain`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            if known_state(connection, node) == NodeState.DRAINING:
                return False
            self._move(connection, node, NodeState.DRAINING, actor, "drain")
            if self._depart(connection, node, seen.staging, "it is draining"):
                self._decide(connection)
            return True

    def resume(self, node: str, actor: Actor) -> bool:
        """See `interfaces.Ledger.resume`."""
        with self._database.writing() as connection:
            self._lock(connection)
            if known_state(connection, node) != NodeState.DRAINING:
                return False
            self._move(connection, node, NodeState.JOINING, actor, "resume")
            return True

    def _move(
        self,
        connection: Connection,
        node: str,
        state: NodeState,
        actor: Actor,
        what: str,
    ) -> None:
        connection.execute(_MOVE, {"who": node, "to": state})
        self._note(connection, actor, f"node {what}", node)
        self._tell(connection)

    def leave(self, node: str) -> None:
        """See `interfaces.Ledger.leave`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            self._forget_node(connection, node, seen.staging, "it was stopped")
            self._decide(connection)
        self._database.withdraw(node)

    # VOTES

    def vote(self, vote: Vote, number: int) -> None:
        """See `interfaces.Ledger.vote`; it is a sign of life, too."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            if seen.staging != number or vote.loaded is None:
                return
            now = self._database.now(connection)
            values = {
                "of": number,
                "who": vote.node,
                "is_loaded": vote.loaded,
                "why": vote.reason,
                "failed": [asdict(one) for one in vote.failures],
                "took": vote.duration,
                "now": now,
            }
            if connection.execute(_VOTE, values).rowcount:
                connection.execute(_ALIVE, {"who": vote.node, "now": now})
                if not vote.loaded or not _is_waited_for(connection, number):
                    self._decide(connection)

    def switched(self, node: str, number: int) -> None:
        """See `interfaces.Ledger.switched`."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            connection.execute(_SWITCHED, {"of": number, "who": node, "now": now})
            connection.execute(_SERVES, {"who": node, "number": number})


def _is_waited_for(connection: Connection, number: int) -> bool:
    """Tell whether votes are missing: then each is one row, and not all of them."""
    return connection.execute(_MISSING, {"of": number}).first() is not None


def _state_of(node: NodeRecord) -> NodeState:
    """Return in which state a node joins: it may go on draining, no more."""
    draining = node.state is NodeState.DRAINING
    return NodeState.DRAINING if draining else NodeState.JOINING
