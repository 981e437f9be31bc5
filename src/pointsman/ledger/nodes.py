"""Nodes, their votes, and what they are asked.  Effects."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, exists, func, insert, null, select, update

from pointsman.cluster import Actor, NodeState, Observation, Question, State
from pointsman.errors import Refused
from pointsman.ledger.ballots import Ballots
from pointsman.ledger.records import ALL_NODES, node_of, one_generation
from pointsman.ledger.schema import cluster, generation, node, question, vote

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from pointsman.cluster import NodeRecord, Vote
    from pointsman.interfaces import Hints

#: For how long a question is remembered, in seconds.
REMEMBERED: Final = 3600.0

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
_QUESTIONS: Final = (
    select(question.c.id, question.c.node, question.c.what)
    .where(question.c.node == _WHO, question.c.answer.is_(None))
    .where(question.c.asked_at.between(_NOW - REMEMBERED, _NOW + REMEMBERED))
    .order_by(question.c.id)
)
_SET_NODE: Final = update(node).where(node.c.id == _WHO)
_DELETE: Final = delete(node).where(node.c.id == _WHO)
_JOIN: Final = insert(node).inline()
_BEAT: Final = _SET_NODE.values(
    lease=bindparam("length"), lease_until=bindparam("until")
)
_BEAT_AND_TELL: Final = _BEAT.values(report=bindparam("said"))
_BOUND_LEASES: Final = (
    update(node)
    .where(node.c.lease_until > _NOW + node.c.lease)
    .values(lease_until=_NOW + node.c.lease)
)
_ALIVE: Final = _SET_NODE.values(lease_until=_NOW + node.c.lease)
_READY: Final = _SET_NODE.values(
    state=NodeState.READY,
    generation=bindparam("number"),
    reason="",
    lease_until=_NOW + node.c.lease,
)
_STATE: Final = _SET_NODE.values(
    state=bindparam("to"), generation=bindparam("number"), reason=bindparam("why")
)
_STATE_OF: Final = select(node.c.state).where(node.c.id == _WHO)
_SERVES: Final = _SET_NODE.values(generation=bindparam("number"))

# Votes

_OF_BALLOT: Final = (vote.c.generation == bindparam("of"), vote.c.node == _WHO)
_IN_BALLOT: Final = select(vote.c.departure).where(*_OF_BALLOT)
_ENTER: Final = insert(vote).inline()
_ENTER_AGAIN: Final = (
    update(vote)
    .where(*_OF_BALLOT, vote.c.departure != "")
    .values(departure="", loaded=null(), reason="", failures=[], voted_at=null())
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

# Questions

_ASK: Final = insert(question)
_OLD_QUESTIONS: Final = delete(question).where(
    ~question.c.asked_at.between(_NOW - REMEMBERED, _NOW + REMEMBERED)
)
_ANSWER: Final = (
    update(question)
    .where(question.c.id == bindparam("number"))
    .values(answer=bindparam("said"))
)
_QUESTION: Final = (
    select(question.c.id, question.c.node, question.c.what, question.c.answer)
    .where(question.c.id == bindparam("number"))
    .where(question.c.asked_at.between(_NOW - REMEMBERED, _NOW + REMEMBERED))
)
_RELOAD: Final = (
    update(cluster)
    .where(cluster.c.id == 1)
    .values(reloads=bindparam("number"), confirming=bindparam("confirmed"))
)


class Nodes(Ballots):
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
                questions=_questions(connection, node, now) if row.asked else (),
            )

    def changed(self) -> bool:
        """See `interfaces.Ledger.changed`."""
        return self._database.changed()

    def hints(self) -> Hints | None:
        """See `interfaces.Ledger.hints`."""
        return self._database.hints()

    def nodes(self) -> tuple[NodeRecord, ...]:
        """See `interfaces.Ledger.nodes`."""
        with self._database.reading() as connection:
            return tuple(map(node_of, connection.execute(ALL_NODES)))

    # SIGNS OF LIFE

    def join(self, node: NodeRecord, *, lease: float) -> None:
        """See `interfaces.Ledger.join`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            now = self._database.now(connection)
            known = connection.execute(_DELETE, {"who": node.id}).rowcount > 0
            values = asdict(node)
            values |= {
                "state": NodeState.JOINING,
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

    def beat(
        self, node: str, *, lease: float, report: Mapping[str, object] | None = None
    ) -> bool:
        """See `interfaces.Ledger.beat`."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            values = {"who": node, "length": lease, "until": now + lease}
            if report is None:
                done = connection.execute(_BEAT, values)
            else:
                done = connection.execute(_BEAT_AND_TELL, {**values, "said": report})
            connection.execute(_BOUND_LEASES, {"now": now})
            return done.rowcount > 0

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
            if seen.staging is not None:
                _enter_ballot(connection, node, seen.staging)
            return True

    def set_state(
        self, node: str, state: NodeState, *, generation: int, reason: str = ""
    ) -> None:
        """See `interfaces.Ledger.set_state`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            was = connection.execute(_STATE_OF, {"who": node}).scalar()
            if was is None:
                return
            values = {"who": node, "to": state, "number": generation, "why": reason}
            connection.execute(_STATE, values)
            if was != state:
                actor = Actor(f"node {node}")
                self._note(connection, actor, f"node {state}", node, detail=reason)
            why = f"it is {state}" + (f": {reason}" if reason else "")
            if self._depart(connection, node, seen.staging, why):
                self._decide(connection)

    def leave(self, node: str) -> None:
        """See `interfaces.Ledger.leave`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            self._forget_node(connection, node, seen.staging, "it was stopped")
            self._decide(connection)

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
                self._decide(connection)

    def switched(self, node: str, number: int) -> None:
        """See `interfaces.Ledger.switched`."""
        with self._database.writing() as connection:
            now = self._database.now(connection)
            connection.execute(_SWITCHED, {"of": number, "who": node, "now": now})
            connection.execute(_SERVES, {"who": node, "number": number})

    # WHAT NODES ARE ASKED

    def request_reload(self, actor: Actor, *, confirm_removals: bool = False) -> int:
        """See `interfaces.Ledger.request_reload`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            number = int(seen.reloads) + 1
            confirmed = number if confirm_removals else seen.confirming
            connection.execute(_RELOAD, {"number": number, "confirmed": confirmed})
            detail = "removals are confirmed" if confirm_removals else ""
            self._note(connection, actor, "reload", detail=detail)
            return number

    def ask(self, node: str, what: str) -> int:
        """See `interfaces.Ledger.ask`."""
        with self._database.writing() as connection:
            self._lock(connection)
            now = self._database.now(connection)
            connection.execute(_OLD_QUESTIONS, {"now": now})
            if connection.execute(_STATE_OF, {"who": node}).first() is None:
                detail = f"there is no node {node}; `pointsman nodes` names them"
                raise Refused(404, "There is no such node", detail)
            values = {"node": node, "what": what, "asked_at": now}
            return self._insert(connection, _ASK, values)

    def answer(self, question: int, answer: Mapping[str, object]) -> None:
        """See `interfaces.Ledger.answer`."""
        with self._database.writing() as connection:
            connection.execute(_ANSWER, {"number": question, "said": answer})

    def question(self, question: int) -> Question | None:
        """See `interfaces.Ledger.question`."""
        with self._database.reading() as connection:
            values = {"number": question, "now": self._database.now(connection)}
            row = connection.execute(_QUESTION, values).first()
            return None if row is None else Question(*row)


def _questions(connection: Connection, node: str, now: float) -> tuple[Question, ...]:
    rows = connection.execute(_QUESTIONS, {"who": node, "now": now})
    return tuple(Question(*row) for row in rows)


def _enter_ballot(connection: Connection, node: str, number: int) -> None:
    """Give a node a vote on what is staging, if it has none."""
    values: dict[str, object] = {"of": number, "who": node}
    if connection.execute(_IN_BALLOT, values).first() is None:
        entering = {"generation": number, "node": node, "failures": []}
        connection.execute(_ENTER, entering)
    else:
        connection.execute(_ENTER_AGAIN, values)
