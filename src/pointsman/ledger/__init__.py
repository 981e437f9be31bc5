"""The ledger: what is deployed, for all nodes, in a database.  Effects.

====================  =========================================================
`opening`             makes, migrates or refuses the tables
`schema`              the tables
`generations`         proposals and records
`ballots`             what is decided about them, and when
`decisions`           how: pure functions
`nodes`               who serves; votes, questions
`artifacts`           the bytes
`directories`         what scanned directories showed
`people`              tokens, the lock, the audit log
`pruning`             what goes
`database`, `sqlite`  what differs between databases
====================  =========================================================
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from pointsman.errors import LedgerError
from pointsman.ledger.opening import prepare
from pointsman.ledger.sqlite import Sqlite
from pointsman.ledger.whole import SqlLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.interfaces import Ledger

__all__ = ["open_ledger"]


def open_ledger(url: str, *, clock: Callable[[], float] = time.time) -> Ledger:
    """Open a ledger by its SQLAlchemy URL; make or migrate it where needed.

    ``clock`` gives seconds since the epoch.  Blocks while another process migrates.

    Raises:
        LedgerError: it cannot be used, is damaged, or of a newer program.

    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise LedgerError(url, "this is no URL of a database") from error
    if parsed.get_backend_name() != "sqlite":
        reason = (
            f"{parsed.get_backend_name()} is not supported yet; a file is, like "
            "sqlite:////srv/site/var/ledger.sqlite"
        )
        raise LedgerError(parsed.render_as_string(), reason)
    database = Sqlite(parsed, clock)
    try:
        prepare(database)
    except BaseException:
        database.close()
        raise
    return SqlLedger(database)
