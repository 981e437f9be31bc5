"""Who takes part, votes, and is asked.  Values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.cluster import (
        Actor,
        NodeRecord,
        NodeState,
        Observation,
        Question,
        Vote,
    )


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


class Nodes(Protocol):
    """Part of `ledger.Ledger`, which says what holds for all of them."""

    def observe(self, node: str) -> Observation:
        """Return what ``node`` sees now."""
        ...

    def changed(self) -> bool:
        """Tell cheaply whether a node may have something to do since the last call.

        It has when another process lets a generation begin to stage, or decides it,
        asks something, or drains a node; a vote or a sign of life alone may be left
        out.  From one thread only.  It may say True without reason, or a moment after
        it was written.  Where a message gets lost, the next `observe` tells.
        """
        ...

    def hints(self) -> Hints | None:
        """Return what tells of other processes' writing; None where nothing does.

        Whoever gets it closes it.
        """
        ...

    def join(self, node: NodeRecord, *, lease: float) -> None:
        """Add a node, *joining*; its lease ends ``lease`` seconds from now.

        One that says that it is *draining* is that from the beginning: it was
        forgotten meanwhile, and does not forget itself what it was told.
        """
        ...

    def beat(
        self, node: str, *, lease: float, report: Mapping[str, object] | None = None
    ) -> bool:
        """Renew a lease and replace the report; False if the node is not known."""
        ...

    def ready(self, node: str, number: int) -> bool:
        """Make a node *ready*, if ``number`` is the active generation still.

        It then takes part in the ballot of what is staging, and has switched to
        ``number`` at the latest now.  False, too, for one that
        is draining: `resume` comes first.
        """
        ...

    def set_state(
        self, node: str, state: NodeState, *, generation: int, reason: str = ""
    ) -> None:
        """Say that a node is behind, joining or draining; it leaves all ballots.

        One that is draining remains so, whatever it says, until `resume`; its
        generation and reason are noted.
        """
        ...

    def drain(self, node: str, actor: Actor) -> bool:
        """Let a node take no new requests, and vote no more; False if it does so.

        It goes on following what is active, for those who still ask it.

        Raises:
            Refused: 404, there is no such node.

        """
        ...

    def resume(self, node: str, actor: Actor) -> bool:
        """End that: the node is *joining*, until it is `ready`; False if it was not.

        Raises:
            Refused: 404, there is no such node.

        """
        ...

    def leave(self, node: str) -> None:
        """Forget a node: it leaves all ballots, and `advance` is done."""
        ...

    def nodes(self, host: str = "") -> tuple[NodeRecord, ...]:
        """Return all nodes, by host and pid; also those whose lease has ended.

        Those of one host, where that is given: what each node asks all the time.
        """
        ...

    def vote(self, vote: Vote, number: int) -> None:
        """Record the vote of a node of the ballot, and do as `advance` does.

        While votes are missing, nothing but a refusal is decided here.

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
