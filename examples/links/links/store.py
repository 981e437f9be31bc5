"""Where short links are kept."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_TABLE = """
CREATE TABLE IF NOT EXISTS link (
    code TEXT PRIMARY KEY,
    url TEXT NOT NULL,
    followed INTEGER NOT NULL DEFAULT 0
)
"""


class Links:
    """Short links in an SQLite file.  Any thread; each call is one transaction."""

    def __init__(self, path: str) -> None:
        """Name the file."""
        self._path = path

    def add(self, url: str) -> str:
        """Return the code of an address: always the same for the same one."""
        code = hashlib.blake2b(url.encode(), digest_size=5).hexdigest()
        with self._transaction() as database:
            database.execute(
                "INSERT OR IGNORE INTO link (code, url) VALUES (?, ?)", [code, url]
            )
        return code

    def follow(self, code: str) -> str | None:
        """Count and return the address of a code, or None."""
        with self._transaction() as database:
            row = database.execute(
                "UPDATE link SET followed = followed + 1 WHERE code = ? RETURNING url",
                [code],
            ).fetchone()
        return row[0] if row else None

    def newest(self, limit: int) -> list[tuple[str, str, int]]:
        """Return code, address and how often it was followed, the newest first."""
        with self._transaction() as database:
            return database.execute(
                "SELECT code, url, followed FROM link ORDER BY rowid DESC LIMIT ?",
                [limit],
            ).fetchall()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=10)
        try:
            with database:
                database.execute(_TABLE)
                yield database
        finally:
            database.close()
