"""What a customer is, and where customers are kept: shared by services.

It is a flat module without a service of its own.  Whoever imports it is loaded again
together with it, so that no service ever works with half of a change.
"""

from __future__ import annotations

import csv
import re
import sqlite3
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_TABLE = """
CREATE TABLE IF NOT EXISTS customer (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL,
    email TEXT NOT NULL,
    city TEXT NOT NULL
)
"""
_UPSERT = """
INSERT INTO customer (id, name, email, city) VALUES (:id, :name, :email, :city)
ON CONFLICT (id) DO UPDATE
SET name = excluded.name, email = excluded.email, city = excluded.city
"""
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


@dataclass(frozen=True, slots=True)
class Customer:
    """One customer; cannot be made with a wrong field."""

    id: int
    name: str
    email: str
    city: str = ""

    def __post_init__(self) -> None:
        """Refuse what no customer can be."""
        if self.id < 1:
            raise ValueError(f"the id must be 1 or more, not {self.id}")
        if not self.name.strip():
            raise ValueError("a customer needs a name")
        if not _EMAIL.fullmatch(self.email):
            raise ValueError(f"{self.email!r} is no e-mail address")

    @classmethod
    def of(cls, given: Mapping[str, object]) -> Customer:
        """Make a customer of loose values, as JSON, CSV and SQL have them.

        Raises:
            ValueError: a field is missing, unknown or wrong.

        """
        known = {field.name for field in fields(cls)}
        if set(given) - known:
            raise ValueError(f"unknown: {', '.join(sorted(set(given) - known))}")
        try:
            values = {key: str(value) for key, value in given.items()}
            return cls(int(values.pop("id")), **values)
        except (KeyError, TypeError) as error:
            raise ValueError(f"a field is missing: {error}") from None


class Store:
    """Customers in an SQLite file.  Any thread; each call is one transaction."""

    def __init__(self, path: Path) -> None:
        """Name the file; it is opened for each call."""
        self._path = path

    def create(self, seed: Path | None = None) -> None:
        """Make the table when it is missing, with the customers of a CSV file."""
        with self._transaction() as database:
            database.execute(_TABLE)
            known = database.execute("SELECT 1 FROM customer LIMIT 1").fetchone()
            if known is None and seed is not None:
                with seed.open(encoding="utf-8", newline="") as file:
                    found = [Customer.of(row) for row in csv.DictReader(file)]
                database.executemany(_UPSERT, [asdict(one) for one in found])

    def get(self, number: int) -> Customer | None:
        """Return one customer, or None."""
        with self._transaction() as database:
            row = database.execute("SELECT * FROM customer WHERE id = ?", [number])
            found = row.fetchone()
        return Customer.of(dict(found)) if found else None

    def find(self, text: str, limit: int) -> list[Customer]:
        """Return those with ``text`` in their name or city, in order of names."""
        like = "%" + re.sub(r"([%_\\])", r"\\\1", text) + "%"
        with self._transaction() as database:
            rows = database.execute(
                "SELECT * FROM customer WHERE name LIKE ? ESCAPE '\\' "
                "OR city LIKE ? ESCAPE '\\' ORDER BY name LIMIT ?",
                [like, like, limit],
            ).fetchall()
        return [Customer.of(dict(row)) for row in rows]

    def put(self, customer: Customer) -> None:
        """Keep a customer, instead of the one with this id if there is one."""
        with self._transaction() as database:
            database.execute(_UPSERT, asdict(customer))

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        database = sqlite3.connect(self._path, timeout=10)
        database.row_factory = sqlite3.Row
        try:
            with database:
                yield database
        finally:
            database.close()
