"""All sales as one CSV file, sent row by row while it is read.

    curl http://127.0.0.1:8080/sales.csv -o /dev/null

``?since=2026-06-30`` leaves older ones out.
Settings: ``database``, an SQLite file with a table ``sale``; where it is missing, one
with ``demo_rows`` invented sales is made.
"""

from __future__ import annotations

import csv
import io
import sqlite3
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from webob import Response
from webob.exc import HTTPBadRequest, HTTPMethodNotAllowed

from pointsman import Service

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from webob import Request

_DEMO = """
CREATE TABLE IF NOT EXISTS sale AS
WITH RECURSIVE number (n) AS (
    SELECT 0 UNION ALL SELECT n + 1 FROM number WHERE n + 1 < ?
)
SELECT date('2026-01-01', '+' || (n % 365) || ' days') AS day,
       1 + (n * 7919) % 5000 AS customer,
       printf('A-%04d', (n * 104729) % 900) AS article,
       1 + n % 9 AS pieces,
       printf('%.2f', ((n * 31) % 25000) / 100.0) AS amount
FROM number ORDER BY day
"""
_CHUNK = 500


class SalesExport(Service):
    """``GET /sales.csv[?since=YYYY-MM-DD]``."""

    name = "sales-export"
    path = "/sales.csv"

    def __init__(self) -> None:
        """Read the settings."""
        self._path = Path(self.settings["database"])
        self._demo_rows = int(self.settings.get("demo_rows", "0"))

    def start(self) -> None:
        """Make the demonstration data, whole or not at all, in one process."""
        database = sqlite3.connect(self._path, timeout=60, isolation_level=None)
        with closing(database):
            known = database.execute("SELECT 1 FROM sqlite_master WHERE name = 'sale'")
            if self._demo_rows and known.fetchone() is None:
                database.execute("BEGIN IMMEDIATE")
                database.execute(_DEMO, [self._demo_rows])
                database.execute("COMMIT")

    def handle(self, request: Request) -> Response:
        """Answer at once; the rows follow."""
        if request.method not in {"GET", "HEAD"}:
            raise HTTPMethodNotAllowed(headers={"Allow": "GET, HEAD"})
        response = Response(content_type="text/csv", charset="utf-8")
        response.content_disposition = 'attachment; filename="sales.csv"'
        response.app_iter = self._rows(_day(request.GET.get("since", "")))
        return response

    def _rows(self, since: str) -> Iterator[bytes]:
        """Read as the client reads; a client that hangs up ends it (GeneratorExit)."""
        # A server may close a body in another thread than it iterated it in.
        uri = f"{self._path.as_uri()}?mode=ro"
        database = sqlite3.connect(uri, uri=True, check_same_thread=False)
        with closing(database):
            rows = database.execute("SELECT * FROM sale WHERE day >= ?", [since])
            yield _csv([[column[0] for column in rows.description]])
            while some := rows.fetchmany(_CHUNK):
                yield _csv(some)


def _csv(rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO()
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat() if text else ""
    except ValueError:
        raise HTTPBadRequest(f"since={text} is no day; write 2026-06-30") from None
