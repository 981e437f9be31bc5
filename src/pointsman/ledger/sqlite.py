"""The ledger in one SQLite file, for all processes of one machine.  Effects.

Write-ahead log, full synchronisation, ``BEGIN IMMEDIATE`` for whatever writes: there
is one writer at a time, so every writing transaction holds the cluster row's lock
from its first moment.  Readers see the moment at which they began, and wait for
nobody.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import sqlite3
import threading
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, cast

from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.pool import QueuePool

from pointsman.errors import LedgerError
from pointsman.ledger.connections import PerProcess
from pointsman.ledger.hints import LogHints
from pointsman.ledger.sqlite_errors import is_busy, is_damage, sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator

    from sqlalchemy import URL, Connection

#: How long a transaction waits for another process's, in seconds.
BUSY: Final = 5.0

#: More connections than this at one moment wait for each other.
CONNECTIONS: Final = 16

_PRAGMAS: Final = (
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    # What a large artifact has made of the log is cut off at the next turn.
    "PRAGMA journal_size_limit = 4194304",
)

# Unused pages, in a file of that many, from which on they are given back.
_WORTH_SHRINKING: Final = 256
# ... and how many at once: that takes a moment.
_SHRINKING: Final = 4096


class _Open:
    """What one process has open of the file."""

    def __init__(self, connect: Callable[[], sqlite3.Connection]) -> None:
        self.engine = create_engine(
            "sqlite://",
            creator=connect,
            poolclass=QueuePool,
            pool_size=4,
            max_overflow=CONNECTIONS - 4,
            pool_timeout=BUSY,
            isolation_level="AUTOCOMMIT",  # we begin and commit ourselves
        )
        # One thread of this process writes at a time: so the others wait in line,
        # not in SQLite's naps of up to 100 ms.
        self.writer = threading.Lock()
        self.watch: sqlite3.Connection | None = None  # of `changed`, and
        self.version = -1  # what it has seen last

    def close(self) -> None:
        """Close all connections; nobody uses one."""
        self.engine.dispose()
        if self.watch is not None:
            self.watch.close()
            self.watch = None


class Sqlite:
    """One file; see `database.Database`."""

    def __init__(self, url: URL, clock: Callable[[], float]) -> None:
        """Find the file, or make it; its folder, too.

        Raises:
            LedgerError: it cannot be opened, or is damaged.

        """
        self.url = url.render_as_string()
        self.path = _path(url, self.url)
        self._clock = clock
        self._open: PerProcess[_Open] = PerProcess(
            lambda: _Open(self._connect), patience=2 * BUSY
        )
        try:
            _make(self.path)
            self._file = _identity(self.path)
        except OSError as error:
            reason = (
                f"{error.filename or self.path}: {error.strerror}; this process needs "
                "to read and write it and its folder"
            )
            raise LedgerError(self.url, reason) from error
        with self._telling():
            self._prepare()

    # CONNECTIONS

    def _connect(self) -> sqlite3.Connection:
        # rw: a file that has gone away is not made again.
        connection = sqlite3.connect(
            f"{self.path.as_uri()}?mode=rw",
            uri=True,
            timeout=BUSY,
            isolation_level=None,
            check_same_thread=False,
        )
        try:
            for pragma in _PRAGMAS:
                connection.execute(pragma)
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    def _prepare(self) -> None:
        """Switch a new file to its modes, and check an old one."""
        with contextlib.closing(self._connect()) as connection:
            if _value(connection, "PRAGMA page_count") == 0:
                if self.path.stat().st_size:
                    raise _damage("it is no database")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            _until_free(lambda: _to_wal(connection))
            found = _lines(connection, "PRAGMA quick_check(1)")
            if found != ["ok"]:
                raise _damage(found[0])

    def close(self) -> None:
        """Let go of all connections of this process."""
        self._open.close()

    # TRANSACTIONS

    def reading(self) -> contextlib.AbstractContextManager[Connection]:
        """See `Database.reading`."""
        return self._transaction("BEGIN")

    def writing(self) -> contextlib.AbstractContextManager[Connection]:
        """See `Database.writing`."""
        return self._transaction(self.begin_writing, writes=True)

    def making(self) -> contextlib.AbstractContextManager[Connection]:
        """See `Database.making`: there is one writer at a time."""
        return self.writing()

    def unhurried(self, connection: Connection) -> None:
        """Do nothing: it may."""

    #: What takes the one lock: no writer reads what another is about to change.
    begin_writing = "BEGIN IMMEDIATE"

    @contextlib.contextmanager
    def _connected(self, *, writes: bool = False) -> Iterator[Connection]:
        self._require_same_file()
        with (
            self._telling(),
            self._open.entered() as opened,
            self._in_line(opened.writer) if writes else contextlib.nullcontext(),
            opened.engine.connect() as connection,
        ):
            yield connection

    @contextlib.contextmanager
    def _transaction(self, begin: str, *, writes: bool = False) -> Iterator[Connection]:
        with self._connected(writes=writes) as connection:
            raw = _raw(connection)
            raw.execute(begin)
            try:
                self._require_same_file()
                yield connection
                raw.execute("COMMIT")
            except BaseException:
                with contextlib.suppress(sqlite3.Error):
                    raw.rollback()
                raise

    @contextlib.contextmanager
    def _in_line(self, writer: threading.Lock) -> Iterator[None]:
        if not writer.acquire(timeout=2 * BUSY):
            reason = (
                f"another thread of this process has been writing for {2 * BUSY:g} s; "
                "look at the disk"
            )
            raise LedgerError(self.url, reason)
        try:
            yield
        finally:
            writer.release()

    def _is_same_file(self) -> bool:
        try:
            return _identity(self.path) == self._file
        except OSError:
            return False

    def _require_same_file(self) -> None:
        """Never write to a file that nobody will find again."""
        try:
            found: object = _identity(self.path)
        except OSError as error:
            reason = (
                f"{self.path} is gone ({error.strerror}) while this process had it "
                "open; put it back and start the node again"
            )
            raise LedgerError(self.url, reason) from error
        if found != self._file:
            reason = (
                f"{self.path} was replaced by another file while this process had it "
                "open; start the node again to use that one"
            )
            raise LedgerError(self.url, reason)

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn the errors of the database into ours."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            raw = error.orig if isinstance(error, DBAPIError) else error
            reason = sentence(raw or error, self.path, busy=BUSY)
            raise LedgerError(self.url, reason) from error

    # THE REST OF THE SEAM

    def now(self, connection: Connection) -> float:  # noqa: ARG002 - others ask it
        """Return the time of this machine: all of its nodes have that."""
        return self._clock()

    def tell(self, connection: Connection) -> None:
        """Do nothing: whoever writes is noticed; see `changed`."""

    def vouch(self, node: str) -> None:
        """Do nothing: all nodes are on this machine, and their processes tell."""

    def withdraw(self, node: str) -> None:
        """Do nothing; see `vouch`."""

    def lost(self, connection: Connection, nodes: Collection[str]) -> dict[str, bool]:  # noqa: ARG002
        """Know nothing; see `vouch`."""
        return {}

    def renumber(self, connection: Connection) -> None:
        """Do nothing: the next number is behind the greatest."""

    def changed(self) -> bool:
        """Tell whether another connection has written, or the file is gone; 10 µs."""
        try:
            with self._open.entered() as opened:
                if opened.watch is None:
                    opened.watch = self._connect()
                version = _value(opened.watch, "PRAGMA data_version")
                seen, opened.version = opened.version, version
                return seen != version or not self._is_same_file()
        except sqlite3.Error as error:
            reason = sentence(error, self.path, busy=BUSY)
            raise LedgerError(self.url, reason) from error

    def hints(self) -> LogHints | None:
        """Return what tells of writing, where the kernel can; see `database`."""
        try:
            return LogHints(self.path)
        except OSError:
            return None

    def damage(self) -> tuple[str, ...]:
        """Return what SQLite finds: broken pages, rows that refer to nothing."""
        try:
            with self.reading() as connection:
                raw = _raw(connection)
                found = _lines(raw, "PRAGMA integrity_check")
                references = raw.execute("PRAGMA foreign_key_check").fetchall()
        except LedgerError as error:
            if not is_damage(error.__cause__):
                raise
            return (error.reason,)
        return (
            *(f"{self.path}: {line}" for line in found if line != "ok"),
            *(
                f"{self.path}: {table} {row} refers to a missing {parent}"
                for table, row, parent, _ in references
            ),
        )

    def shrink(self) -> None:
        """Give back unused pages, once they are a quarter of the file."""
        with self._connected(writes=True) as connection:
            raw = _raw(connection)
            unused = _value(raw, "PRAGMA freelist_count")
            if unused > max(_WORTH_SHRINKING, _value(raw, "PRAGMA page_count") // 4):
                # A script: `execute` would stop after the first of the pages.
                raw.executescript(f"PRAGMA incremental_vacuum({_SHRINKING})")


def _path(url: URL, told: str) -> Path:
    if not url.database or url.database == ":memory:" or url.query:
        reason = "a file is needed, like sqlite:////srv/site/var/ledger.sqlite"
        raise LedgerError(told, reason)
    return Path(url.database).absolute()


def _make(path: Path) -> None:
    """Make an empty file for its owner alone, unless there is one.

    Not by opening it: closing a file gives up all locks that this process has on it
    (fcntl(2)), also those of a ledger that another thread has just opened.
    """
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    half = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    os.close(os.open(half, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with contextlib.suppress(FileExistsError):  # another process was faster
            os.link(half, path)
    finally:
        half.unlink()


def _raw(connection: Connection) -> sqlite3.Connection:
    return cast("sqlite3.Connection", connection.connection.driver_connection)


def _identity(path: Path) -> tuple[int, int]:
    found = os.stat(path)  # noqa: PTH116 - it costs half, at every transaction
    return found.st_dev, found.st_ino


def _to_wal(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA journal_mode = WAL").fetchone()


def _until_free(action: Callable[[], None]) -> None:
    """Try until nobody else is in the way: the busy policy does not cover this."""
    end = monotonic() + BUSY
    while True:
        try:
            return action()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or monotonic() > end:
                raise
        sleep(0.005)


def _value(connection: sqlite3.Connection, pragma: str) -> int:
    value: int = connection.execute(pragma).fetchone()[0]
    return value


def _lines(connection: sqlite3.Connection, pragma: str) -> list[str]:
    return [str(line) for (line,) in connection.execute(pragma)]


def _damage(found: str) -> sqlite3.DatabaseError:
    """Return the error that SQLite raises where it comes across such damage."""
    error = sqlite3.DatabaseError(found)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error
