"""All tables of one database, and the line of its commits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.ledger import schema
from pointsman.ledger.opening import revision
from simulation.database.storage import Record, tables_of
from simulation.database.transactions import Transaction

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulation.database.transactions import Patience

    #: Each row that a commit changes: what it was, and what it is.
    Changes = list[tuple[Record, Mapping[str, Any] | None, Mapping[str, Any] | None]]


class Tables:
    """The tables of the ledger.  ``moment`` counts the commits."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self.tables = tables_of(schema.metadata)
        self.moment = 0
        self.looking: dict[Transaction, int] = {}
        self.watchers: list[Callable[[Changes], None]] = []
        self._fill()

    def _fill(self) -> None:
        """Put in what `opening` puts into new tables."""
        version = {
            "id": 1,
            "version": schema.VERSION,
            "oldest_usable_by": schema.OLDEST_USABLE_BY,
        }
        transaction = Transaction(self, frozen=False)
        transaction.insert(self.tables[schema.schema], version)
        transaction.insert(
            self.tables[schema.alembic_version],
            {"version_num": revision(schema.VERSION)},
        )
        transaction.insert(self.tables[schema.cluster], {"id": 1})
        transaction.commit()

    def commit(self, transaction: Transaction) -> None:
        """Make what it has written the newest; tell those who watch."""
        changes: Changes = [
            (record, record.seen(None, self.moment), record.pending)
            for record in transaction.written
        ]
        self.moment += 1
        oldest = min(self.looking.values(), default=self.moment)
        for record in transaction.written:
            record.commit(self.moment, oldest)
        for watch in self.watchers:
            watch(changes)

    def rows(self, table: Any) -> list[dict[str, Any]]:
        """Return what is committed, for those who look from outside."""
        found = (r.seen(None, self.moment) for r in self.tables[table].records.values())
        return [row for row in found if row is not None]
