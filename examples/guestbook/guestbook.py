"""A guest book in an object database.

    curl http://127.0.0.1:8080/guestbook -d name=Ida -d text=Hello

Resource: ``guestbook``, a ZODB: a file for one process, ``zeo://`` for several.
"""

from __future__ import annotations

import random
import re
import time
from typing import TYPE_CHECKING, Any, TypeVar

from BTrees.LOBTree import LOBTree
from guestbook_entries import Entry
from transaction.interfaces import TransientError
from webob import Response
from webob.exc import (
    HTTPBadRequest,
    HTTPMethodNotAllowed,
    HTTPNotFound,
    HTTPServiceUnavailable,
)

from pointsman import Service
from pointsman.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from webob import Request

    Found = TypeVar("Found")

_NEWEST, _MOST = 20, 1000
_LARGEST = 2**63 - 1  # of an LOBTree
_PATIENCE = 10.0  # seconds; a ZEO server may be restarted meanwhile
_PAUSE = 0.01


class Guestbook(Service):
    """``GET /guestbook?limit=20``, ``GET /guestbook/{id}``, ``POST /guestbook``."""

    name = "guestbook"
    path = "/guestbook"

    def check(self) -> None:
        """Refuse a deployment without a place to write."""
        if "guestbook" not in self.resources:
            raise KeyError("the ini has no resource.guestbook")

    def handle(self, request: Request) -> object:
        """Answer with JSON."""
        number = request.path_info_pop()
        if number:
            return self._one(number)
        if request.method == "POST":
            return self._write(request)
        if request.method not in {"GET", "HEAD"}:
            raise HTTPMethodNotAllowed(headers={"Allow": "GET, HEAD, POST"})
        return self._newest(request.GET.get("limit", str(_NEWEST)))

    def _one(self, text: str) -> dict[str, object]:
        if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) > _LARGEST:
            raise HTTPNotFound(f"{text!r} is no entry's number")
        number = int(text)

        def read(entries: Any) -> dict[str, object]:
            if number not in entries:
                raise HTTPNotFound(f"there is no entry {number}")
            return _told(number, entries[number])

        return self._transaction(read)

    def _newest(self, text: str) -> list[dict[str, object]]:
        if not re.fullmatch(r"[0-9]{1,4}", text) or not 0 < int(text) <= _MOST:
            raise HTTPBadRequest(f"limit is a number from 1 to {_MOST}")

        def read(entries: Any) -> list[dict[str, object]]:
            newest = list(entries.keys())[-int(text) :]
            return [_told(number, entries[number]) for number in reversed(newest)]

        return self._transaction(read)

    def _write(self, request: Request) -> Response:
        given = request.POST
        at = time.time_ns()
        name, text = str(given.get("name", "")), str(given.get("text", ""))

        def write(entries: Any) -> tuple[int, dict[str, object]]:
            try:  # anew for each attempt: the last one's belongs to its connection
                entry = Entry(name, text, at / 1e9)
            except ValueError as error:
                raise HTTPBadRequest(str(error)) from None
            number = _free(entries, at, entry)
            entries[number] = entry
            return number, _told(number, entry)

        number, told = self._transaction(write)
        location = f"{request.script_name}/{number}"
        return Response(json_body=told, status=201, location=location)

    def _transaction(self, work: Callable[[Any], Found]) -> Found:
        """Do something with the entries, in one transaction; again when it conflicts.

        Two requests that change one thing at once, in whichever processes, cannot
        both be right: the second one is told, and begins anew with what the first has
        written.  So does one whose connection to the server was lost.
        """
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                with self._database().transaction() as connection:
                    return work(_entries(connection.root()))
            except TransientError as error:
                if time.monotonic() > end:
                    self.log.warning("given up: %s", error)
                    raise _later() from error
            time.sleep(random.uniform(0, _PAUSE))  # noqa: S311 - not to meet again

    def _database(self) -> Any:
        try:
            return self.resources["guestbook"]
        except ConfigError as error:
            self.log.warning("%s", error)
            raise _later() from error


def _entries(root: Any) -> Any:
    """Return the entries by number; changes of different ones do not conflict."""
    if "guestbook" not in root:
        root["guestbook"] = LOBTree()
    return root["guestbook"]


def _free(entries: Any, number: int, entry: Entry) -> int:
    """Return the number for a new entry: the time, in nanoseconds.

    Where the connection was lost while the answer to a commit was on its way, the entry
    is there already.
    """
    while number in entries and entries[number].told() != entry.told():
        number += 1
    return number


def _told(number: int, entry: Entry) -> dict[str, object]:
    # A number of JavaScript has 53 bits, and this one more: so it is text.
    return {"id": str(number), **entry.told()}


def _later() -> HTTPServiceUnavailable:
    sentence = "the guest book is out of reach; the log says why"
    return HTTPServiceUnavailable(sentence, headers={"Retry-After": "2"})
