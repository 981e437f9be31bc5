"""What is proposed, staged, decided, and kept.  Values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection

    from pointsman.cluster import Contents, Generation, Proposal, Proposed


class Generations(Protocol):
    """Part of `ledger.Ledger`, which says what holds for all of them."""

    def propose(self, proposal: Proposal, *, timeout: float) -> Proposed:
        """Record a proposal; begin to stage it if no other is staging.

        ``timeout`` is how long its staging may take, in seconds from when that
        begins; kept with the generation.  Its sightings and claims are recorded in
        the same transaction, also where nothing of the changes is new.  Every
        proposal is an event.

        A proposal that changes nothing against the active generation and those on
        their way (queued, staging) makes no generation.

        Raises:
            Refused: 409, a package belongs to another kind of source (both are
                named), an artifact of it is not stored, or a service or a package
                that it names is not there; 412, ``if_match`` is not the active
                generation; 423, deployments are locked by somebody else.

        """
        ...

    def advance(
        self, gone: Collection[str] = (), *, overdue: int | None = None
    ) -> bool:
        """Do all that can be decided now; True when anything changed.

        ``gone`` are nodes that are known dead (their process is gone, seen on
        their host): they leave the ballot and the list of nodes.  A node whose
        lease has ended without such proof fails the staging generation and is
        named.  A staging generation becomes active when all nodes of its ballot,
        and at least one, have voted *loaded*; failed with one *failed* vote, or
        after its deadline.  A node whose process the database has seen end, or whose
        connection, is no such silent one: it leaves the ballot, and is *joining* when
        it comes back.  ``overdue`` is a generation whose deadline has passed by
        the caller's own clock.  A ballot that all nodes have left is empty: the
        generation waits for one until its deadline, and fails then.

        Then the next queued one begins to stage: rebased on the active one, or
        failed when a package that it touches is not any more what it was in the
        base of the proposal.
        Its ballot are the nodes that are ready, and whose lease has not ended.  While
        nobody is in it, and no node is ready or joining, those that are behind are
        called up: what is active does not load there, and this may.
        """
        ...

    def abort(self, number: int, reason: str) -> bool:
        """Fail a generation that is queued or staging; False if it is neither."""
        ...

    def generation(self, number: int) -> Generation | None:
        """Return the record of a generation, with its votes."""
        ...

    def generations(
        self, *, limit: int = 50, before: int | None = None
    ) -> tuple[Generation, ...]:
        """Return records, the newest first, without votes."""
        ...

    def contents(self, number: int) -> Contents | None:
        """Return what a generation serves.

        For one that is queued or failed before staging: None, as for one that is
        not there.
        """
        ...

    def was_active(self, before: int) -> tuple[int, ...]:
        """Return the numbers below ``before`` that were active, the newest first."""
        ...

    def prune(self, keep: int) -> int:
        """Drop what is older than the ``keep`` newest generations; return how many.

        Never the active one and the one that was active before it, nor one that is
        on its way.  Artifacts that no generation names are dropped with them, but
        not before they are an hour old: somebody may be about to propose them.
        Events are kept for ten times as many as generations.
        """
        ...
