"""What is known of directories, and of mounts.  Values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pointsman.cluster import Sighting


class Directories(Protocol):
    """Part of `ledger.Ledger`, which says what holds for all of them."""

    def scanner(self, location: str, node: str, *, lease: float) -> bool:
        """Tell whether ``node`` is the one that scans a directory now.

        It is when nobody was, when it was already (then its lease is renewed), or
        when the lease of the other has ended or that node is not known any more.
        """
        ...

    def sightings(self, location: str) -> tuple[Sighting, ...]:
        """Return what was last recorded of a directory; files that were there."""
        ...

    def sight(self, sightings: Iterable[Sighting]) -> None:
        """Record sightings that need no proposal."""
        ...

    def claimed(self, claim: str) -> int | None:
        """Return the generation that answers for a picked-up file, if any does."""
        ...

    def mounts(self) -> Mapping[str, str]:
        """Return who has which service name and path: key to package."""
        ...

    def keep_mounts(self, mounts: Mapping[str, str]) -> None:
        """Replace that."""
        ...
