"""What differs between databases: one small seam.  Values.

Everything above it is SQLAlchemy Core, and the same for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection
    from contextlib import AbstractContextManager

    from sqlalchemy import Connection

    from pointsman.interfaces import Hints


class Database(Protocol):
    """Transactions on one database.  Any thread, also of a forked child.

    Everything raises `errors.LedgerError` when the database cannot be used.
    """

    url: str  # without the password

    def reading(self) -> AbstractContextManager[Connection]:
        """Open a transaction that sees one moment, and writes nothing."""
        ...

    def writing(self) -> AbstractContextManager[Connection]:
        """Open a transaction that is committed at its end, if nothing is raised.

        It may see what others commit meanwhile, except in the rows that it locks.
        """
        ...

    def making(self) -> AbstractContextManager[Connection]:
        """Open a writing transaction in which no other process makes tables."""
        ...

    def unhurried(self, connection: Connection) -> None:
        """Let this transaction take its time; nobody else waits for it."""
        ...

    def now(self, connection: Connection) -> float:
        """Return the time by the one clock that counts for this database."""
        ...

    def tell(self, connection: Connection) -> None:
        """Let all nodes look, once this transaction is committed."""
        ...

    def changed(self) -> bool:
        """See `interfaces.Ledger.changed`."""
        ...

    def hints(self) -> Hints | None:
        """See `interfaces.Ledger.hints`."""
        ...

    def vouch(self, node: str) -> None:
        """Be the proof that a node lives for as long as this process does.

        Where the database can: it lets go of what a process holds when that ends.
        Raises nothing; what cannot be done now is done later.
        """
        ...

    def withdraw(self, node: str) -> None:
        """End that."""
        ...

    def lost(self, connection: Connection, nodes: Collection[str]) -> dict[str, bool]:
        """Return those of ``nodes`` for whom nobody vouches.

        True when that has been so for long enough: they are gone, or cut off.  Empty
        where the database cannot know.
        """
        ...

    def renumber(self, connection: Connection) -> None:
        """Go on numbering behind the rows that were inserted with their numbers."""
        ...

    def damage(self) -> tuple[str, ...]:
        """Return what the database's own full check finds."""
        ...

    def shrink(self) -> None:
        """Give back the space of what was deleted, where that takes no time."""
        ...

    def close(self) -> None:
        """Let go of all connections of this process."""
        ...
