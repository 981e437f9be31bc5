"""Look customers up, and keep them.

    curl http://127.0.0.1:8080/customers/1

Settings: ``database``, an SQLite file, made when it is missing; ``seed``, a CSV file
with the customers of an empty database; ``limit``, how many a search returns.
"""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from customer_model import Customer, Store
from prometheus_client import Counter
from webob.exc import HTTPBadRequest, HTTPMethodNotAllowed, HTTPNotFound

from pointsman import Service

if TYPE_CHECKING:
    from webob import Request

#: Goes on counting when this module is deployed again.
LOOKUPS = Counter("customer_lookups", "Customers asked for", ["outcome"])


class Customers(Service):
    """``GET /customers/{id}``, ``GET /customers?q=text``, ``PUT /customers/{id}``."""

    name = "customers"
    path = "/customers"

    def __init__(self) -> None:
        """Read the settings; a missing one refuses the deployment."""
        self._store = Store(Path(self.settings["database"]))
        self._limit = int(self.settings.get("limit", "20"))

    def check(self) -> None:
        """Refuse a deployment whose database would have no place."""
        folder = Path(self.settings["database"]).parent
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no folder {folder} for the database")

    def start(self) -> None:
        """Make the table."""
        seed = self.settings.get("seed")
        self._store.create(Path(seed) if seed else None)

    def handle(self, request: Request) -> object:
        """Answer with JSON."""
        number = request.path_info_pop()
        if request.method == "PUT" and number:
            return self._put(_whole(number), request)
        if request.method not in {"GET", "HEAD"}:
            raise HTTPMethodNotAllowed(headers={"Allow": "GET, HEAD, PUT"})
        if number:
            return self._get(_whole(number))
        found = self._store.find(request.GET.get("q", ""), self._limit)
        return [asdict(customer) for customer in found]

    def _get(self, number: int) -> dict[str, object]:
        customer = self._store.get(number)
        LOOKUPS.labels("found" if customer else "missing").inc()
        if customer is None:
            raise HTTPNotFound(f"there is no customer {number}")
        return asdict(customer)

    def _put(self, number: int, request: Request) -> dict[str, object]:
        try:
            customer = Customer.of({**request.json_body, "id": number})
        except (ValueError, TypeError) as error:
            raise HTTPBadRequest(str(error)) from None
        self._store.put(customer)
        self.log.info("customer %d was stored", number)
        return asdict(customer)


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise HTTPNotFound(f"{text!r} is no customer's number")
    return int(text)
