"""The generations that were active, and what a package was in them.  Engine."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman import rollbacks
from pointsman.cluster import Contents
from pointsman.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.interfaces import Ledger


class History:
    """Reads the ledger.  Any thread."""

    def __init__(self, ledger: Ledger) -> None:
        """Take the ledger."""
        self._ledger = ledger

    def active(self) -> Contents:
        """Return the active generation; an empty one with number 0 before the first."""
        return self.contents(self._ledger.observe("").active) or Contents(0)

    def contents(self, number: int) -> Contents | None:
        """Return what a generation serves; 0 is what was before the first."""
        return self._ledger.contents(number) if number else Contents(0)

    def once_active(self, number: int, active: Contents) -> Contents:
        """Return a generation that is active, or was.

        Raises:
            Refused: 404, there is none of this number, or it never was active.

        """
        found = active if number == active.number else None
        if number in self._ledger.was_active(active.number):
            found = self._ledger.contents(number)
        if found is None or not number:
            detail = (
                f"there is no generation {number} that was active and is still kept"
            )
            raise Refused(404, "Not Found", detail)
        return found

    def target(
        self, package: str, active: Contents, to: int | str | None
    ) -> rollbacks.Target:
        """Return what a package shall be again; see `deployments.Deployments.rollback`.

        Raises:
            Refused: 400, ``to`` is nothing that could be; 404 or 409, there is no
                such artifact.

        """
        if to is None:
            return rollbacks.previous(package, active, self._earlier(active.number))
        wanted = rollbacks.parsed(to)
        if isinstance(wanted, str):
            return rollbacks.by_digest(package, wanted, self._all(active))
        entry = self.once_active(wanted, active).entries.get(package)
        if entry is None and package not in active.entries:
            detail = f"neither generation {wanted} nor the active one has {package!r}"
            raise Refused(404, "Not Found", detail)
        return rollbacks.Target(wanted, entry)

    def _all(self, active: Contents) -> Iterator[Contents]:
        yield active
        yield from self._earlier(active.number)

    def _earlier(self, before: int) -> Iterator[Contents]:
        for number in self._ledger.was_active(before):
            found = self._ledger.contents(number)
            if found is not None:  # pruned in between
                yield found
