"""What all parts of the ledger have: a database, and the audit log.  Effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, select

from pointsman.ledger.schema import cluster, event

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection, Insert, Row

    from pointsman.cluster import Actor
    from pointsman.ledger.database import Database

_LOCK: Final = select(cluster).where(cluster.c.id == 1).with_for_update()
_EVENT: Final = insert(event).inline()


class Part:
    """Some methods of the ledger.  Any thread."""

    def __init__(self, database: Database, absent_after: float) -> None:
        """Work on ``database``; see `open_ledger`."""
        self._database = database
        self._absent_after = absent_after
        self.url = database.url

    def _lock(self, connection: Connection) -> Row[tuple[object, ...]]:
        """Lock the cluster row, before anything else is read; return it.

        Without it, a decision and a joining node could both be committed that do
        not know of each other.  SQLite renders no ``FOR UPDATE``: its writing
        transactions hold the one lock from their beginning.
        """
        return connection.execute(_LOCK).one()

    def _tell(self, connection: Connection) -> None:
        """Let the nodes look: they have something to do after this transaction.

        Not for each vote and each sign of life: what each of many nodes tells all of
        the others, nobody could read.
        """
        self._database.tell(connection)

    @staticmethod
    def _insert(
        connection: Connection, statement: Insert, values: Mapping[str, object]
    ) -> int:
        """Insert a row into a table that numbers its rows; return the number."""
        made = connection.execute(statement, values).inserted_primary_key
        assert made is not None  # noqa: S101 - for the type
        return int(made[0])

    def _note(
        self,
        connection: Connection,
        actor: Actor,
        what: str,
        subject: str = "",
        *,
        generation: int | None = None,
        detail: str = "",
    ) -> None:
        """Add a line to the audit log."""
        connection.execute(
            _EVENT,
            {
                "at": self._database.now(connection),
                "actor": actor.name,
                "address": actor.address,
                "what": what,
                "subject": subject,
                "generation": generation,
                "detail": detail,
            },
        )
