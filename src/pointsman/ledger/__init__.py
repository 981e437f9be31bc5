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
`users`               those who sign in with a password
`pruning`             what goes
`database`, `sqlite`  what differs between databases
====================  =========================================================
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from pointsman.errors import LedgerError
from pointsman.ledger.opening import prepare
from pointsman.ledger.sqlite import Sqlite
from pointsman.ledger.whole import SqlLedger

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.interfaces import Ledger
    from pointsman.settings import Settings

__all__ = ["has_ledger", "ledger_of", "ledger_url", "open_ledger"]


#: After how many seconds of silence no vote of a node is waited for.
ABSENT_AFTER: Final = 60.0


def open_ledger(
    url: str,
    *,
    clock: Callable[[], float] = time.time,
    absent_after: float = ABSENT_AFTER,
) -> Ledger:
    """Open a ledger by its SQLAlchemy URL; make or migrate it where needed.

    ``clock`` gives seconds since the epoch.  A node that has been silent for
    ``absent_after`` seconds is left out of the ballots that are opened here; until
    then its silence fails what is deployed, because it may be serving.  Blocks while
    another process migrates.

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
    return SqlLedger(database, absent_after)


def ledger_url(settings: Settings) -> str:
    """Return the URL of a site's ledger; by default, a file in the work directory."""
    file = settings.work_dir / "ledger.sqlite"
    return settings.ledger_url or f"sqlite:///{quote(str(file))}"


def has_ledger(settings: Settings) -> bool:
    """Tell whether a site has a ledger; one in a server of its own counts as there."""
    url = make_url(ledger_url(settings))
    return url.get_backend_name() != "sqlite" or Path(str(url.database)).is_file()


def ledger_of(settings: Settings) -> Ledger:
    """Open the ledger of a site, as `open_ledger` does."""
    return open_ledger(ledger_url(settings), absent_after=settings.cluster_absent_after)
