"""The ledger: what is deployed, for all nodes, in a database.  Effects.

====================  =========================================================
`opening`             makes, migrates or refuses the tables
`schema`              the tables
`generations`         proposals and records
`ballots`             what is decided about them, and when
`decisions`           how: pure functions
`nodes`               who serves; votes
`questions`           what they are asked
`artifacts`           the bytes
`directories`         what scanned directories showed
`people`              tokens, the lock, the audit log
`users`               those who sign in with a password
`pruning`             what goes
`copying`, `backups`  all of it, elsewhere
`database`            what differs between databases: `sqlite`, `postgresql`
====================  =========================================================
"""

from __future__ import annotations

import contextlib
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

    from sqlalchemy import URL

    from pointsman.interfaces import Ledger
    from pointsman.ledger.copying import Copied
    from pointsman.ledger.database import Database
    from pointsman.settings import Settings

__all__ = ["copy_ledger", "has_ledger", "ledger_of", "ledger_url", "open_ledger"]


#: After how many seconds of silence no vote of a node is waited for.
ABSENT_AFTER: Final = 60.0


def open_ledger(
    url: str,
    *,
    clock: Callable[[], float] | None = None,
    absent_after: float = ABSENT_AFTER,
) -> Ledger:
    """Open a ledger by its SQLAlchemy URL; make or migrate it where needed.

    ``clock`` gives seconds since the epoch; without it the database does: for a file,
    that is this machine.  A node that has been silent for
    ``absent_after`` seconds is left out of the ballots that are opened here; until
    then its silence fails what is deployed, because it may be serving.  Blocks while
    another process migrates.

    Raises:
        LedgerError: it cannot be used, is damaged, or of a newer program.

    """
    return SqlLedger(_opened(_parsed(url), clock), absent_after)


def copy_ledger(
    source: str, target: str, on_table: Callable[[str], None] = lambda _: None
) -> Copied:
    """Copy a ledger into another one, which is new or made; see `copying.copy`.

    Raises:
        LedgerError: the source is not there, or see there.

    """
    from pointsman.ledger.copying import copy  # noqa: PLC0415 - few processes need it

    url = _parsed(source)
    if url.drivername == "sqlite" and not Path(str(url.database)).is_file():
        raise LedgerError(source, f"there is no file {url.database}")
    with (
        contextlib.closing(_opened(url, None)) as first,
        contextlib.closing(_opened(_parsed(target), None)) as second,
    ):
        return copy(first, second, on_table)


def _opened(url: URL, clock: Callable[[], float] | None) -> Database:
    database = _database(url, clock)
    try:
        prepare(database)
    except BaseException:
        database.close()
        raise
    return database


def _parsed(url: str) -> URL:
    try:
        return make_url(url)
    except ArgumentError as error:
        raise LedgerError(url, "this is no URL of a database") from error


def _database(url: URL, clock: Callable[[], float] | None) -> Database:
    if url.drivername == "sqlite":
        return Sqlite(url, clock or time.time)
    if url.drivername in {"postgresql", "postgresql+psycopg"}:
        return _postgresql(url, clock)
    reason = (
        f"{url.drivername} is not known; there are sqlite:////srv/site/ledger.sqlite "
        "and postgresql://user@host/database"
    )
    raise LedgerError(url.render_as_string(), reason)


def _postgresql(url: URL, clock: Callable[[], float] | None) -> Database:
    try:  # a site with a file needs no psycopg
        from pointsman.ledger.postgresql import Postgresql  # noqa: PLC0415
    except ImportError as error:
        reason = (
            f"psycopg cannot be imported ({error}); install pointsman[postgresql], or "
            "psycopg[binary]"
        )
        raise LedgerError(url.render_as_string(), reason) from error
    return Postgresql(url, clock)


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
