"""What nodes are asked by way of the ledger, and to read their sources.  Effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, delete, insert, select, update

from pointsman.cluster import Question
from pointsman.errors import Refused
from pointsman.ledger.ballots import Ballots
from pointsman.ledger.schema import cluster, node, question

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from pointsman.cluster import Actor

#: For how long a question is remembered, in seconds.
REMEMBERED: Final = 3600.0

_WHO: Final[Any] = bindparam("who")
_NOW: Final[Any] = bindparam("now")

STATE_OF: Final = select(node.c.state).where(node.c.id == _WHO)
_QUESTIONS: Final = (
    select(question.c.id, question.c.node, question.c.what)
    .where(question.c.node == _WHO, question.c.answer.is_(None))
    .where(question.c.asked_at.between(_NOW - REMEMBERED, _NOW + REMEMBERED))
    .order_by(question.c.id)
)
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


class Questions(Ballots):
    """Put by whoever wants to know; answered by the node itself."""

    def request_reload(self, actor: Actor, *, confirm_removals: bool = False) -> int:
        """See `interfaces.Ledger.request_reload`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            number = int(seen.reloads) + 1
            confirmed = number if confirm_removals else seen.confirming
            connection.execute(_RELOAD, {"number": number, "confirmed": confirmed})
            detail = "removals are confirmed" if confirm_removals else ""
            self._note(connection, actor, "reload", detail=detail)
            self._tell(connection)
            return number

    def ask(self, node: str, what: str) -> int:
        """See `interfaces.Ledger.ask`."""
        with self._database.writing() as connection:
            self._lock(connection)
            now = self._database.now(connection)
            connection.execute(_OLD_QUESTIONS, {"now": now})
            known_state(connection, node)
            values = {"node": node, "what": what, "asked_at": now}
            self._tell(connection)
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


def open_questions(
    connection: Connection, node: str, now: float
) -> tuple[Question, ...]:
    """Return what a node is asked, and has not answered."""
    rows = connection.execute(_QUESTIONS, {"who": node, "now": now})
    return tuple(Question(*row) for row in rows)


def known_state(connection: Connection, node: str) -> str:
    """Return the state of a node.

    Raises:
        Refused: 404, there is no such node.

    """
    state = connection.execute(STATE_OF, {"who": node}).scalar()
    if state is None:
        detail = f"there is no node {node}; `pointsman nodes` names them"
        raise Refused(404, "There is no such node", detail)
    return str(state)
