"""The ledger, of its parts.  Effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.ledger.artifacts import Artifacts
from pointsman.ledger.directories import Directories
from pointsman.ledger.generations import Generations
from pointsman.ledger.nodes import Nodes
from pointsman.ledger.people import People
from pointsman.ledger.pruning import Pruning
from pointsman.ledger.users import Users

if TYPE_CHECKING:
    from pointsman.interfaces import Ledger


class SqlLedger(Generations, Nodes, Artifacts, Directories, People, Users, Pruning):
    """`interfaces.Ledger` on any database that SQLAlchemy knows.  Any thread."""

    def close(self) -> None:
        """See `interfaces.Ledger.close`."""
        self._database.close()

    def check(self) -> tuple[str, ...]:
        """See `interfaces.Ledger.check`: the database's own check, then our digests."""
        damage = self._database.damage()
        if damage:
            return damage
        return (*self._lost_generations(), *self._damaged_artifacts())


if TYPE_CHECKING:

    def _conforms(ledger: SqlLedger) -> Ledger:
        return ledger
