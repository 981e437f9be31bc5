"""What a command can do with a cluster, whichever way it reached it.  Values.

One implementation asks a running host over HTTP (`over_http`), the other works with
the ledger itself (`over_ledger`).  Both answer with the documents that
docs/reference/http.md shows, so that each command is written once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.cli.progress import Progress
    from pointsman.cli.uploads import Upload

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Change:
    """What all changes have in common.

    ``wait`` is how long the nodes may take, in seconds; with 0 it is only proposed.
    """

    wait: float
    note: str = ""
    if_match: int | None = None


class Reached(Protocol):
    """A cluster.  One thread, but for `on_its_way`, which any may call.

    Each method raises `Refused` when it is not done, `UnreachableError` when nobody
    answers, `LedgerError` when the ledger cannot be used, `ConfigError` when the
    token cannot be read.  A deployment that fails is no error: its document tells.
    """

    def close(self) -> None:
        """Let go of it."""
        ...

    # CHANGES: THE DOCUMENT OF A DEPLOYMENT

    def deploy(
        self,
        uploads: Sequence[Upload],
        remove: Sequence[str],
        change: Change,
        progress: Progress,
    ) -> Document:
        """Deploy and remove packages, all in one generation or none."""
        ...

    def undeploy(
        self, names: Sequence[str], change: Change, *, cascade: bool
    ) -> Document:
        """Take packages away, in one generation."""
        ...

    def rollback(self, package: str, to: str | None, change: Change) -> Document:
        """Go back with one package; without ``to``, to what it was before."""
        ...

    def rollback_to(self, number: int, change: Change) -> Document:
        """Go back to a whole generation."""
        ...

    def stop(self, services: Sequence[str], change: Change) -> Document:
        """Let services answer 503, in one generation."""
        ...

    def start(self, services: Sequence[str], change: Change) -> Document:
        """Let stopped services answer again, in one generation."""
        ...

    # LOOKS

    def plan(
        self, uploads: Sequence[Upload], remove: Sequence[str], progress: Progress
    ) -> Document:
        """Return what a deployment would do."""
        ...

    def on_its_way(self) -> Document | None:
        """Return the record of the generation that is staging, with its votes."""
        ...

    def packages(self) -> Document:
        """Return the packages of the active generation."""
        ...

    def services(self) -> Document:
        """Return the services, and where they are."""
        ...

    def nodes(self, *, leaks: bool = False) -> Document:
        """Return the nodes, and what they say of themselves.

        With ``leaks`` each is asked what it has in memory of ended versions; None
        where it did not answer.
        """
        ...

    def threads(self, node: str) -> Document:
        """Return every thread of a node, with the service that it works for."""
        ...

    def generations(self, limit: int) -> Document:
        """Return the newest generations, without votes."""
        ...

    def generation(self, number: int) -> Document:
        """Return one generation, with votes."""
        ...

    def diff(self, number: int) -> Document:
        """Return what a generation changed of the one before it."""
        ...

    def events(self, limit: int) -> Document:
        """Return the audit log, the newest first."""
        ...

    # PEOPLE

    def tokens(self) -> Document:
        """Return all tokens, without themselves."""
        ...

    def create_token(
        self, name: str, role: str, packages: Sequence[str], lasts: float | None
    ) -> Document:
        """Make a token, which ``lasts`` so many seconds; it is told this once."""
        ...

    def revoke_token(self, name: str) -> Document:
        """Revoke a token by its name or id."""
        ...

    def users(self) -> Document:
        """Return all users, without their passwords."""
        ...

    def create_user(self, name: str, role: str, password: str) -> Document:
        """Make a user."""
        ...

    def change_password(self, name: str, password: str) -> Document:
        """Give a user another password."""
        ...

    def remove_user(self, name: str) -> Document:
        """Remove a user."""
        ...

    def lock(self, reason: str) -> Document:
        """Freeze deployments for everybody else."""
        ...

    def unlock(self, *, force: bool) -> Document:
        """End that."""
        ...

    # THE REST

    def reload(self, *, confirm_removals: bool, wait: float) -> Document:
        """Let every node read its sources again; ``wait`` seconds for each other."""
        ...
