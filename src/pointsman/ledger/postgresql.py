"""The ledger in PostgreSQL, for the processes of many machines.  Effects.

Reading transactions are REPEATABLE READ: they see one moment.  Writing ones are READ
COMMITTED and lock what they rely on: the cluster row first (`part`).  Its clock is
the one that counts.

Nobody keeps the others waiting: who is cut off, stopped or stalled within a
transaction loses it after a few seconds, and with it all of its locks.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

import psycopg
from sqlalchemy import Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, DisconnectionError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from pointsman.errors import LedgerError
from pointsman.ledger.connections import PerProcess
from pointsman.ledger.patience import Patient
from pointsman.ledger.postgresql_errors import sentence
from pointsman.ledger.postgresql_session import (
    CHANNEL,
    Session,
    SessionHints,
    key_of,
)
from pointsman.ledger.schema import metadata

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sqlalchemy import URL, Connection

#: How long a transaction waits for a lock of another, in seconds.
BUSY: Final = 10.0

#: How long a transaction may be idle before the server ends it, in seconds: less than
#: others wait for its locks.
SILENT: Final = 5.0

#: After how many seconds without an answer from the network a connection is given up.
DEAF: Final = 8.0

#: More connections than this at one moment wait for each other; so many stay open.
CONNECTIONS, KEPT = 16, 2

#: For how long nobody must have vouched for a node until it counts as gone: who has
#: lost the connection, and lives, has a new one before that (`AGAIN`, and a try to
#: connect).
MISSING: Final = 4.0

_OF_SESSIONS: Final = {
    "lock_timeout": f"{BUSY:g}s",
    "idle_in_transaction_session_timeout": f"{SILENT:g}s",
    "idle_session_timeout": "0",
    "statement_timeout": "60s",
    "tcp_keepalives_idle": "4",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "2",
    "tcp_user_timeout": f"{DEAF:g}s",
}
_OF_CONNECTIONS: Final = {
    "application_name": "pointsman",
    "connect_timeout": "3",
    "keepalives_idle": "4",
    "keepalives_interval": "2",
    "keepalives_count": "2",
    "tcp_user_timeout": f"{DEAF * 1000:.0f}",
}

_NOW: Final = text("SELECT extract(epoch FROM clock_timestamp())::float8")
_TELL: Final = text("SELECT pg_notify(:channel, '')").bindparams(channel=CHANNEL)
#: Any number, the same for all who make tables in one database.
_MAKING: Final = text(f"SELECT pg_advisory_xact_lock({key_of('')})")
_UNHURRIED: Final = text(
    "SELECT set_config('statement_timeout', '0', true), "
    "set_config('idle_in_transaction_session_timeout', '0', true)"
)
_HELD: Final = text(
    "SELECT (classid::bigint << 32) | objid::bigint FROM pg_locks "
    "WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND database = "
    "(SELECT oid FROM pg_database WHERE datname = current_database())"
)
_ENCODING: Final = text("SHOW server_encoding")
_RENUMBER: Final = (
    "SELECT setval(pg_get_serial_sequence('\"{table}\"', '{column}'), "
    'coalesce(max("{column}"), 0) + 1, false) FROM "{table}"'
)
_FAILURES: Final = text(
    "SELECT checksum_failures FROM pg_stat_database WHERE datname = current_database()"
)


class _Open:
    """What one process has open of the database."""

    def __init__(self, connect: Callable[[], psycopg.Connection[Any]]) -> None:
        engine = create_engine(
            "postgresql+psycopg://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=KEPT,
            max_overflow=CONNECTIONS - KEPT,
            pool_timeout=BUSY,
            pool_use_lifo=True,
            isolation_level="READ COMMITTED",
        )
        event.listen(engine, "checkout", _require_alive)
        self.writer = engine
        # Not READ ONLY: SQLAlchemy would tell the others READ WRITE, which a standby
        # refuses with another error than the one that says what it is.
        self.reader = engine.execution_options(isolation_level="REPEATABLE READ")
        self.session = Session(connect)

    def close(self) -> None:
        """Close all connections; nobody uses one."""
        self.session.close()
        self.writer.dispose()


class Postgresql:
    """One database of a server; see `database.Database`."""

    def __init__(self, url: URL, clock: Callable[[], float] | None) -> None:
        """Connect, and look whether it can keep a ledger.

        With ``clock`` that is asked for the time, and not the database.

        Raises:
            LedgerError: it cannot be reached, or cannot keep all characters.

        """
        self.url = url.render_as_string()
        self._clock = clock
        self._arguments = _arguments(url)
        self._open: PerProcess[_Open] = PerProcess(
            lambda: _Open(self._connect), patience=2 * BUSY
        )
        self._nodes = _Own()
        self._hints: SessionHints | None = None
        self._session = 0  # which connection of it there is; 0 is none
        self._missing: dict[str, float] = {}  # since when
        self._missing_in = 0  # which connection of the session saw that
        self._watching = threading.Lock()  # guards the two above
        try:
            with self.reading() as connection:
                self._require_all_characters(connection)
        except BaseException:
            self.close()
            raise

    def _connect(self) -> psycopg.Connection[Any]:
        return Patient.made(self._arguments)

    def _require_all_characters(self, connection: Connection) -> None:
        encoding = connection.execute(_ENCODING).scalar()
        if encoding != "UTF8":
            reason = (
                f"its encoding is {encoding}, in which not all names can be written; "
                "make another one: createdb --encoding=UTF8 --template=template0 NAME"
            )
            raise LedgerError(self.url, reason)

    def close(self) -> None:
        """Let go of all connections of this process."""
        self._open.close()

    # TRANSACTIONS

    def reading(self) -> contextlib.AbstractContextManager[Connection]:
        """See `Database.reading`."""
        return self._transaction(lambda opened: opened.reader)

    def writing(self) -> contextlib.AbstractContextManager[Connection]:
        """See `Database.writing`."""
        return self._transaction(lambda opened: opened.writer)

    @contextlib.contextmanager
    def making(self) -> Iterator[Connection]:
        """See `Database.making`."""
        with self.writing() as connection:
            connection.execute(_UNHURRIED)
            connection.execute(_MAKING)
            yield connection

    def unhurried(self, connection: Connection) -> None:
        """See `Database.unhurried`."""
        connection.execute(_UNHURRIED)

    @contextlib.contextmanager
    def _transaction(self, of: Callable[[_Open], Engine]) -> Iterator[Connection]:
        committing = False
        try:
            with (
                self._open.entered() as opened,
                of(opened).connect() as connection,
                connection.begin() as transaction,
            ):
                yield connection
                committing = True
                transaction.commit()
        except (SQLAlchemyError, psycopg.Error) as error:
            raw = error.orig if isinstance(error, DBAPIError) else error
            reason = sentence(raw or error, busy=BUSY, committing=committing)
            raise LedgerError(self.url, reason) from error

    # THE REST OF THE SEAM

    def now(self, connection: Connection) -> float:
        """Return the time of the database's machine."""
        if self._clock is not None:
            return self._clock()
        found: float = connection.execute(_NOW).scalar_one()
        return found

    def tell(self, connection: Connection) -> None:
        """See `Database.tell`; several times within a transaction is once."""
        connection.execute(_TELL)

    def changed(self) -> bool:
        """Tell whether anybody was told to look; without any query."""
        with self._open.entered() as opened:
            told = opened.session.told(self._nodes.all())
            self._session = opened.session.number
            if self._hints is not None:
                self._hints.follow(self._session, opened.session.descriptor)
            return told

    def hints(self) -> SessionHints:
        """Return what is readable when somebody was told to look."""
        self._hints = SessionHints(self._drained)
        return self._hints

    def _drained(self) -> bool:
        with self._open.entered() as opened:
            return opened.session.drain()

    def vouch(self, node: str) -> None:
        """See `Database.vouch`: by a lock of the connection that listens."""
        self._nodes.add(node)
        with self._open.entered() as opened:
            opened.session.vouch(self._nodes.all())
            self._session = opened.session.number

    def withdraw(self, node: str) -> None:
        """See `Database.withdraw`."""
        self._nodes.discard(node)
        with self._open.entered() as opened:
            opened.session.withdraw(node)

    def lost(self, connection: Connection, nodes: Collection[str]) -> dict[str, bool]:
        """See `Database.lost`: their locks are free.

        What counts is what one connection of the session sees, without a gap: after a
        restart of the database nobody holds a lock, and all come back.
        """
        held = set(connection.execute(_HELD).scalars())
        missing = {node for node in nodes if key_of(node) not in held}
        now, session = monotonic(), self._session
        with self._watching:
            if self._missing_in != session or not session:
                self._missing_in, self._missing = session, {}
            self._missing = {node: self._missing.get(node, now) for node in missing}
            return {n: now - since >= MISSING for n, since in self._missing.items()}

    def renumber(self, connection: Connection) -> None:
        """See `Database.renumber`: its sequences know nothing of such rows."""
        for table in metadata.sorted_tables:
            column = table.autoincrement_column
            if column is not None and column.default is None:
                connection.execute(
                    text(_RENUMBER.format(table=table.name, column=column.name))
                )

    def damage(self) -> tuple[str, ...]:
        """Return what PostgreSQL has found by the checksums of its pages, if it has."""
        with self.reading() as connection:
            failures = connection.execute(_FAILURES).scalar()
        if not failures:
            return ()
        told = f"{failures} pages had a wrong checksum; see the log of PostgreSQL"
        return (f"{self.url}: {told}",)

    def shrink(self) -> None:
        """Leave it to autovacuum."""


class _Own:
    """The nodes of this process, of which a forked child has none.  Any thread."""

    def __init__(self) -> None:
        self._pid = os.getpid()
        self._nodes: frozenset[str] = frozenset()

    def all(self) -> frozenset[str]:
        if self._pid != os.getpid():
            self._pid, self._nodes = os.getpid(), frozenset()
        return self._nodes

    def add(self, node: str) -> None:
        self._nodes = self.all() | {node}

    def discard(self, node: str) -> None:
        self._nodes = self.all() - {node}


def _arguments(url: URL) -> dict[str, Any]:
    """Return what libpq is given: what the URL says comes before what we think."""
    dialect = url.set(drivername="postgresql+psycopg").get_dialect()()
    _, given = dialect.create_connect_args(url)
    options = " ".join(f"-c {name}={value}" for name, value in _OF_SESSIONS.items())
    own = f"{options} {given.pop('options', '')}".strip()
    return {**_OF_CONNECTIONS, **given, "options": own}


def _require_alive(raw: Any, *_: object) -> None:
    """Give a connection up that the server has ended meanwhile, before it is used.

    Nothing comes unasked on one that is well, so that it is readable tells all; no
    question to the server is needed.
    """
    if raw.broken or _is_readable(raw.fileno()):
        raise DisconnectionError


def _is_readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
