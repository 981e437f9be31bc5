"""A ledger's tables: made, brought up to date, or refused.  Effects."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import insert, inspect, select, update

from pointsman.errors import LedgerError
from pointsman.ledger.schema import (
    OLDEST_USABLE_BY,
    VERSION,
    alembic_version,
    cluster,
    metadata,
    schema,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from pointsman.ledger.database import Database

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_SCHEMA: Final = select(schema.c.version, schema.c.oldest_usable_by)


def revision(version: int) -> str:
    """Return what Alembic calls a version."""
    return f"{version:04}"


def prepare(database: Database) -> None:
    """Make the tables, or migrate them.

    Two processes may do so at once: the second finds it done.

    Raises:
        LedgerError: they are of a program that is too new, or not ours at all.

    """
    with database.reading() as connection:
        if _is_usable(connection, database.url):
            return
    with database.making() as connection:
        if _is_usable(connection, database.url):
            return
        if inspect(connection).has_table(schema.name):
            migrate(connection, VERSION, database.url)
        else:
            _make(connection, database.url)


def _is_usable(connection: Connection, url: str) -> bool:
    """Tell whether the tables are there, and as this program wants them."""
    if not inspect(connection).has_table(schema.name):
        return False
    row = connection.execute(_SCHEMA).first()
    if row is None:
        raise LedgerError(url, "it has no version; restore it from a backup")
    if row.oldest_usable_by > VERSION:
        reason = (
            f"its tables are of version {row.version}, and this program knows those "
            f"up to {VERSION}; start the release that has migrated it, or a newer one"
        )
        raise LedgerError(url, reason)
    return bool(row.version >= VERSION)


def _make(connection: Connection, url: str) -> None:
    others = inspect(connection).get_table_names()
    if others:
        reason = (
            f"it is the database of another program, with tables like {others[0]}; "
            "name another one in ledger.url"
        )
        raise LedgerError(url, reason)
    metadata.create_all(connection, checkfirst=False)
    version = {"id": 1, "version": VERSION, "oldest_usable_by": OLDEST_USABLE_BY}
    connection.execute(insert(schema).values(version))
    connection.execute(insert(alembic_version).values(version_num=revision(VERSION)))
    connection.execute(insert(cluster).values(id=1))


def migrate(connection: Connection, version: int, url: str) -> None:
    """Bring the tables to ``version``, within the transaction that is open."""
    from alembic import command  # noqa: PLC0415 - 0.3 s that most starts do not need
    from alembic.config import Config  # noqa: PLC0415
    from alembic.util import CommandError  # noqa: PLC0415

    if not connection.in_transaction():  # or Alembic takes it for its own, and commits
        connection.begin()
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, revision(version))
    except CommandError as error:
        reason = f"its tables cannot be migrated ({error}); restore it from a backup"
        raise LedgerError(url, reason) from error
    if version == VERSION:
        connection.execute(
            update(schema).values(version=VERSION, oldest_usable_by=OLDEST_USABLE_BY)
        )
