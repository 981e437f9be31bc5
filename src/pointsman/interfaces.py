"""The contracts between the layers: threads, order, errors.  Values.

Each has one suite below ``tests/contract`` that every implementation passes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from pointsman.cluster import (
        Actor,
        Contents,
        DeployLock,
        Event,
        Failed,
        Generation,
        NodeRecord,
        NodeState,
        Observation,
        Proposal,
        Proposed,
        Question,
        Sighting,
        Token,
        User,
        Vote,
    )
    from pointsman.model import Package, Scan

#: One version of a package, as a runtime holds it.
Loaded = TypeVar("Loaded")


class Source(Protocol):
    """Something that knows which packages shall be served."""

    def scan(self) -> Scan:
        """Return what is wanted now.

        Called from one thread at a time; may block on files.  It never raises for
        what it looks at: whatever cannot be used is a problem of the scan, with
        its place, and does not hide the rest.  Scanning twice without a change in
        between gives packages of the same digests.
        """
        ...


class Runtime(Protocol[Loaded]):
    """Where versions of packages run.

    The steps of a version's life, in this order.  A deployment takes each step for
    all of its packages before it takes the next for any.  `open` and `forget` run
    nothing of the package's code and are called from one thread at a time; the
    others run it, on a thread that may be given up when it does not come back.
    """

    def open(self, package: Package) -> Loaded:
        """Lay out a version; run nothing of it.

        Raises:
            ReleaseError: this machine does not take it.

        """
        ...

    def load(self, loaded: Loaded) -> None:
        """Import it, make its services, let them check; once, however often called.

        Raises:
            LoadError: its code raised, whatever it raised.

        """
        ...

    def start(self, loaded: Loaded) -> None:
        """Let its services get ready; once, however often called.

        Raises:
            LoadError: one of them raised.

        """
        ...

    def stop(self, loaded: Loaded) -> None:
        """Let started services go; what they raise is logged."""
        ...

    def forget(self, loaded: Loaded, heir: Loaded | None) -> None:
        """Let go of a version that serves nothing any more.

        ``heir`` is what serves instead, if anything does.  Any thread, also while
        another version of the same package is being loaded.
        """
        ...


class Follower(Protocol):
    """One process's end of the generations, as the reconciler drives it.

    From one thread at a time.
    """

    @property
    def number(self) -> int:
        """Return the generation that serves; 0 if none does."""
        ...

    @property
    def staged(self) -> int | None:
        """Return the generation that waits for `switch` or `discard`."""
        ...

    def stage(self, contents: Contents) -> tuple[Failed, ...]:
        """Load a generation beside what serves; return who fails, and nothing then."""
        ...

    def switch(self) -> None:
        """Serve what was staged; cannot fail."""
        ...

    def discard(self) -> None:
        """Let go of what was staged, if anything is."""
        ...

    def join(self, contents: Contents) -> tuple[Failed, ...]:
        """Go to a generation that is decided; return who fails, and nothing then."""
        ...


class Hints(Protocol):
    """Something to wait for, beside other descriptors.  One thread.

    A hint is no promise: one may come without a change, late, or not at all.
    """

    descriptor: int  # readable when there is one

    def take(self) -> bool:
        """Take what there is; tell whether the ledger may have been written to."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Ledger(Protocol):
    """The database of generations.  Any thread; each method is one transaction.

    A method that changes a generation's state, a ballot or a node's readiness
    first locks the one cluster row, so that such changes happen one after the
    other.  No transaction is open while other code runs.  Every method raises
    `errors.LedgerError` when the database cannot be used: not there, read-only,
    locked for longer than the busy policy waits, full, damaged, of a newer schema.
    Nothing is changed then.

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

    # GENERATIONS

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
        after its deadline; ``overdue`` is a generation whose deadline has passed by
        the caller's own clock.  A ballot that all nodes have left is empty: the
        generation waits for one until its deadline, and fails then.

        Then the next queued one begins to stage: rebased on the active one, or
        failed when a package that it touches is not any more what it was in the
        base of the proposal.
        Its ballot are the nodes that are ready, and whose lease has not ended.
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

    # NODES AND VOTES

    def observe(self, node: str) -> Observation:
        """Return what ``node`` sees now."""
        ...

    def changed(self) -> bool:
        """Tell cheaply whether another connection has written since the last call.

        From one thread only.  It may say True without reason, never False with.
        """
        ...

    def hints(self) -> Hints | None:
        """Return what tells of other processes' writing; None where nothing does.

        Whoever gets it closes it.
        """
        ...

    def join(self, node: NodeRecord, *, lease: float) -> None:
        """Add a node, *joining*; its lease ends ``lease`` seconds from now."""
        ...

    def beat(
        self, node: str, *, lease: float, report: Mapping[str, object] | None = None
    ) -> bool:
        """Renew a lease and replace the report; False if the node is not known."""
        ...

    def ready(self, node: str, number: int) -> bool:
        """Make a node *ready*, if ``number`` is the active generation still.

        It then takes part in the ballot of what is staging.
        """
        ...

    def set_state(
        self, node: str, state: NodeState, *, generation: int, reason: str = ""
    ) -> None:
        """Say that a node is behind, joining or draining; it leaves all ballots."""
        ...

    def leave(self, node: str) -> None:
        """Forget a node: it leaves all ballots, and `advance` is done."""
        ...

    def nodes(self) -> tuple[NodeRecord, ...]:
        """Return all nodes, by host and pid; also those whose lease has ended."""
        ...

    def vote(self, vote: Vote, number: int) -> None:
        """Record the vote of a node of the ballot, and do as `advance` does.

        Nothing happens when the node is not in the ballot, has voted, or the
        generation is not staging any more.  ``voted_at`` is set here.
        """
        ...

    def switched(self, node: str, number: int) -> None:
        """Record that a node serves ``number`` from now on; the time is set here."""
        ...

    # WHAT NODES ARE ASKED

    def request_reload(self, actor: Actor, *, confirm_removals: bool = False) -> int:
        """Ask all nodes to read their sources again; return the request's number."""
        ...

    def ask(self, node: str, what: str) -> int:
        """Put a question to a node; return its id.  It is forgotten after an hour.

        Raises:
            Refused: 404, there is no such node.

        """
        ...

    def answer(self, question: int, answer: Mapping[str, object]) -> None:
        """Answer a question."""
        ...

    def question(self, question: int) -> Question | None:
        """Return a question, with its answer once there is one."""
        ...

    # DIRECTORIES

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

    # PEOPLE

    def create_token(
        self,
        token: Token,
        digest: str,
        actor: Actor,
    ) -> Token:
        """Store a token by the SHA-256 of itself; return it with id and time.

        Raises:
            Refused: 409, a token of that name exists that is not revoked.

        """
        ...

    def token(self, digest: str) -> Token | None:
        """Return the token with this SHA-256, valid or not; note its use.

        The use is written down at most once a minute.
        """
        ...

    def tokens(self) -> tuple[Token, ...]:
        """Return all tokens, the newest first."""
        ...

    def revoke_token(self, name: str, actor: Actor) -> bool:
        """Revoke a token by its name or id; False if there is none."""
        ...

    def create_user(self, user: User, actor: Actor) -> User:
        """Store a user with the hash of a password; return it with id and time.

        Raises:
            Refused: 409, a user of that name exists that is not removed.

        """
        ...

    def user(self, name: str) -> User | None:
        """Return the user of this name, with the hash; None if removed."""
        ...

    def users(self) -> tuple[User, ...]:
        """Return all users, the newest first, the removed ones too; without hashes."""
        ...

    def change_password(self, name: str, hash_: str, actor: Actor) -> bool:
        """Replace the hash of a user's password; False if there is no such user."""
        ...

    def remove_user(self, name: str, actor: Actor) -> bool:
        """Disable a user for good, and forget the hash; False if there is none.

        The row stays, for the history; the name is free again.
        """
        ...

    def signed_in(self, user: User) -> None:
        """Note when a user has signed in; nothing where it cannot be written."""
        ...

    def lock(self, actor: Actor, reason: str) -> DeployLock:
        """Freeze deployments for everybody but the actor.

        Raises:
            Refused: 423, somebody else has frozen them.

        """
        ...

    def unlock(self, actor: Actor, *, force: bool = False) -> bool:
        """End it; False if there was none.

        Raises:
            Refused: 423, it is somebody else's, and not ``force``.

        """
        ...

    def lock_of(self) -> DeployLock | None:
        """Return the lock that there is."""
        ...

    def events(
        self, *, limit: int = 100, before: int | None = None
    ) -> tuple[Event, ...]:
        """Return the audit log, the newest first."""
        ...

    def record(
        self, actor: Actor, what: str, subject: str = "", detail: str = ""
    ) -> None:
        """Add a line to the audit log."""
        ...
