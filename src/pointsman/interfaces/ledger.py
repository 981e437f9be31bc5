"""The database of generations.  Values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pointsman.interfaces.directories import Directories
from pointsman.interfaces.generations import Generations
from pointsman.interfaces.nodes import Nodes
from pointsman.interfaces.people import People

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Ledger(Generations, Nodes, Directories, People, Protocol):
    """The database of generations.  Any thread; each method is one transaction.

    A method that changes a generation's state, a ballot or a node's readiness
    first locks the one cluster row, so that such changes happen one after the
    other.  No transaction is open while other code runs.  Every method raises
    `errors.LedgerError` when the database cannot be used: not there, read-only,
    locked for longer than the busy policy waits, full, damaged, of a newer schema.
    Nothing is changed then; but where a server was lost in the very moment of the
    commit, the error says that nobody knows.

    After a fork, a child may use the object: it opens connections of its own.
    """

    url: str  # without the password

    def close(self) -> None:
        """Let go of all connections of this process."""
        ...

    def check(self) -> tuple[str, ...]:
        """Return all damage that the full check of the database finds."""
        ...

    # ARTIFACTS

    def has(self, digest: str) -> bool:
        """Tell whether the artifact is stored."""
        ...

    def store(self, digest: str, size: int, chunks: Iterable[bytes]) -> None:
        """Store an artifact; nothing where it is stored already.

        Reads ``chunks`` once, and compares them with ``digest``.

        Raises:
            ArtifactError: they have another digest or size; nothing is stored.

        """
        ...

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Return the bytes of an artifact, in pieces of at most 1 MiB.

        Raises:
            LedgerError: it is not stored, or what is stored has another digest.

        """
        ...
