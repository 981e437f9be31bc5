"""What differs between databases: one small seam.  Values.

Everything above it is SQLAlchemy Core, and the same for all of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
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

    def now(self, connection: Connection) -> float:
        """Return the time by the one clock that counts for this database."""
        ...

    def changed(self) -> bool:
        """See `interfaces.Ledger.changed`."""
        ...

    def hints(self) -> Hints | None:
        """See `interfaces.Ledger.hints`."""
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
