"""Who is in a ballot: who enters it, who departs, who is called up.  Effects.

Each method here is called within a transaction that has locked the cluster row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, null, select, update

from pointsman.cluster import Actor, NodeState
from pointsman.ledger.part import Part
from pointsman.ledger.schema import node, question, vote

if TYPE_CHECKING:
    from sqlalchemy import Connection

_NUMBER: Final[Any] = bindparam("of")
_NOW: Final[Any] = bindparam("now")

#: Who may vote by itself in a moment: while there is one, nobody else is called up.
_HOPEFUL: Final = (
    select(node.c.id)
    .where(node.c.state.in_([NodeState.READY, NodeState.JOINING]))
    .where(node.c.lease_until > _NOW)
    .limit(1)
)
_BEHIND: Final = (
    select(node.c.id)
    .where(node.c.state == NodeState.BEHIND, node.c.lease_until > _NOW)
    .order_by(node.c.id)
)
_IN_BALLOT: Final = select(vote.c.departure).where(
    vote.c.generation == _NUMBER, vote.c.node == bindparam("who")
)
_ENTER: Final = insert(vote).inline()
_ENTER_AGAIN: Final = (
    update(vote)
    .where(vote.c.generation == _NUMBER, vote.c.node == bindparam("who"))
    .where(vote.c.departure != "")
    .values(departure="", loaded=null(), reason="", failures=[], voted_at=null())
)
_DEPART: Final = (
    update(vote)
    .where(vote.c.generation == _NUMBER, vote.c.node == bindparam("who"))
    .where(vote.c.departure == "")
    .values(departure=bindparam("why"))
)
_FORGET_NODE: Final = delete(node).where(node.c.id == bindparam("who"))
_FORGET_QUESTIONS: Final = delete(question).where(question.c.node == bindparam("who"))


class Voters(Part):
    """The nodes that count."""

    def _call_up(self, connection: Connection, number: int) -> bool:
        """Let those vote that are behind on what nobody votes on; tell whether any do.

        Else who has lost what is active would have no way out of it.
        """
        now = {"now": self._database.now(connection)}
        if connection.execute(_HOPEFUL, now).first() is not None:
            return False
        names = connection.execute(_BEHIND, now).scalars().all()
        for name in names:
            self._enter(connection, name, number)
        if names:
            self._tell(connection)
        return bool(names)

    def _enter(self, connection: Connection, name: str, number: int) -> None:
        """Give a node a vote on what is staging, if it has none."""
        values: dict[str, object] = {"of": number, "who": name}
        if connection.execute(_IN_BALLOT, values).first() is None:
            entering = {"generation": number, "node": name, "failures": []}
            connection.execute(_ENTER, entering)
        else:
            connection.execute(_ENTER_AGAIN, values)

    def _depart(
        self, connection: Connection, name: str, staging: int | None, why: str
    ) -> bool:
        """Take a node out of the ballot; whoever calls decides it anew."""
        if staging is None:
            return False
        values = {"of": staging, "who": name, "why": why}
        return connection.execute(_DEPART, values).rowcount > 0

    def _forget_node(
        self, connection: Connection, name: str, staging: int | None, why: str
    ) -> bool:
        departed = self._depart(connection, name, staging, why)
        known = connection.execute(_FORGET_NODE, {"who": name}).rowcount > 0
        if known:
            connection.execute(_FORGET_QUESTIONS, {"who": name})
            self._note(connection, Actor(f"node {name}"), "node left", name, detail=why)
        return departed or known
