"""One node's part in what all nodes decide: observe, plan, act, record.  Engine.

`Reconciler.step` is one round.  It takes one look at the ledger, does the first
thing that is due, and says when it wants to look again.  Each thing may be done
twice: whatever was cut off is found again by the next look, in this process or in
the one that comes after it.

======================  =======================================================
the ledger says         the node
======================  =======================================================
another generation is   switches to it if it is staged here; else loads it, as
active                  one that joins does; what does not load leaves it behind
one is staging, and my  stages it, and votes
vote is missing
what I staged failed    discards it
nobody decides          takes nodes that are gone off the ballot; sees the
                        deadline pass by its own clock too
======================  =======================================================
"""

from __future__ import annotations

import logging
from dataclasses import replace
from time import monotonic
from typing import TYPE_CHECKING

from pointsman import faults, pulse
from pointsman.cluster import Contents, NodeState, Vote
from pointsman.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from pointsman.cluster import (
        Failed,
        Generation,
        NodeRecord,
        Observation,
        Question,
    )
    from pointsman.interfaces import Follower, Ledger
    from pointsman.pulse import Pulse

_log = logging.getLogger(__name__)

#: How often a ballot that does not end is looked at more closely, in seconds.
LOOK = 0.25

#: Of more voters than this each looks less often, so that all of them together keep
#: the ledger's lock no longer than so many would: who decides needs it, too.
CROWD = 16

#: How many signs of life go into one lease.
BEATS = 3


class Reconciler:
    """Follows the ledger for one node.  `step` from one thread at a time."""

    def __init__(
        self,
        *,
        node: NodeRecord,
        ledger: Ledger,
        local: Follower,
        lease: float,
        history: int,
        gone: Callable[[Iterable[NodeRecord]], frozenset[str]],
        report: Callable[[], Mapping[str, object]],
        answer: Callable[[Question], None],
        reload: Callable[[int, bool], None],
        reloads: int = -1,
        clock: Callable[[], float] = monotonic,
        beside: Pulse = pulse.threaded,
    ) -> None:
        """Take what it watches and drives; ``lease`` is in seconds.

        ``gone`` tells which of some nodes are known dead; ``report`` what this one
        says of itself; ``answer`` is given questions, and must not block;
        ``reload`` reads the sources again (the request's number, and whether
        removals are confirmed).  ``reloads`` is the last such request that came before
        the sources were read; without it, what was asked before it joins is none of
        its business.  ``beside`` gives signs of life while something is loaded.
        """
        self.node = node
        self._ledger = ledger
        self._local = local
        self._lease = lease
        self._history = history
        self._gone = gone
        self._report = report
        self._answer = answer
        self._reload = reload
        self._clock = clock
        self._beside = beside
        self._cannot: int | None = None  # the active generation that does not load
        self.behind = ""  # why: for `health/ready`
        self._behind_in_full = ""  # with the traceback
        self.draining = False  # takes no new requests, as far as is known
        self._ending = False  # and will never again
        self._first_seen: tuple[int, float] = (0, 0.0)  # of what is staging
        self._looked = self._beaten = self._clock() - 3600.0
        self._until = 0.0  # when the time of what is staged here is over
        self._pruned = 0
        self.reloads = reloads  # the last request that was followed

    def leave(self) -> None:
        """Let the others go on without this node."""
        self._ledger.leave(self.node.id)

    def drain(self) -> None:
        """Take no new requests from now on, and vote no more: the end is near.

        Any thread; the others hear of it with the next `step`.
        """
        self._ending = True  # first: a step in between makes the other of it
        self.draining = True

    def retry(self) -> None:
        """Try an active generation again that could not be loaded."""
        self._cannot = None

    def step(self) -> float:
        """Do what is due; return for how many seconds nothing else can be.

        0 is: look again at once.

        Raises:
            LedgerError: it cannot be asked; what serves goes on serving.

        """
        seen = self._ledger.observe(self.node.id)
        if seen.me is None:  # it is new, or was left for dead
            self._introduce(seen)
            return 0.0
        self._let_go(seen)
        self._drain(seen.me)
        if self._follow(seen, seen.me):
            return 0.0
        # Before a load, which may take long and be followed by others; and before a
        # decision: where the ledger was away, leases have ended.
        self._beat(seen)
        if self._vote(seen) or self._asked(seen):
            return 0.0
        self._decide(seen)
        return self._pause(seen)

    def _introduce(self, seen: Observation) -> None:
        """Join; one that was drained, and then forgotten, was not told to resume."""
        state = NodeState.DRAINING if self.draining else NodeState.JOINING
        self._ledger.join(replace(self.node, state=state), lease=self._lease)
        if self.reloads < 0:
            self.reloads = seen.reloads

    def _drain(self, me: NodeRecord) -> None:
        """See whether this node is drained; tell the others when it ends."""
        known = me.state is NodeState.DRAINING
        if self._ending and not known:
            number = self._local.number
            self._ledger.set_state(me.id, NodeState.DRAINING, generation=number)
        before, self.draining = self.draining, known or self._ending
        if self.draining != before:
            _log.info("takes %s requests", "no new" if self.draining else "new")
            self.tell()

    # WHAT IS ACTIVE

    def _let_go(self, seen: Observation) -> None:
        """Discard what was staged here and failed."""
        staging = seen.staging.number if seen.staging else None
        if self._local.staged not in (None, seen.active, staging):
            _log.info("generation %s failed", self._local.staged)
            self._local.discard()

    def _follow(self, seen: Observation, me: NodeRecord) -> bool:
        if self._local.number == seen.active:
            return self._be_ready(seen, me)
        if self._local.staged == seen.active:
            faults.point("decided")
            self._local.switch()
            self._cannot, self.behind = None, ""
            faults.point("switched")
            self._ledger.switched(self.node.id, seen.active)
            faults.point("recorded")
            return True
        if self._cannot == seen.active:
            return self._be_behind(me)
        if self._local.staged is not None:
            self._local.discard()
        contents = self._contents(seen.active)
        if contents is not None:  # else it was replaced a moment ago: look again
            self._join(contents)
        return True

    def _be_ready(self, seen: Observation, me: NodeRecord) -> bool:
        serves = me.generation == seen.active
        if self.draining:
            if not serves:
                self._ledger.switched(self.node.id, seen.active)
            return not serves
        if serves and me.state is NodeState.READY and self._has_a_vote(seen):
            return False
        self._ledger.ready(self.node.id, seen.active)
        return True

    def _has_a_vote(self, seen: Observation) -> bool:
        """Tell whether the ballot has this node, if there is one.

        Who was silent when it began, for longer than the lease, is not in it: this
        machine slept, or the ledger was locked.
        """
        votes = seen.staging.votes if seen.staging is not None else None
        return votes is None or any(
            vote.node == self.node.id and not vote.left for vote in votes
        )

    def _contents(self, number: int) -> Contents | None:
        """Return what a generation serves; None is unknown, and never nothing."""
        return self._ledger.contents(number) if number else Contents(0)

    def _join(self, contents: Contents) -> None:
        """Load what the others serve already."""
        number = contents.number
        with self.alive():
            failed = self._local.join(contents)
        if not failed:
            self._cannot, self.behind = None, ""
            _log.info("generation %d serves", number)
            return
        self._cannot, reason = number, _reason(failed)
        self.behind = f"cannot go to generation {number}: {reason}"
        _log.error(
            "cannot go to generation %d; goes on with %d: %s",
            number,
            self._local.number,
            reason,
        )
        self._behind_in_full = f"{self.behind}\n{failed[0].traceback}".rstrip()
        self._say_behind()

    def _say_behind(self) -> None:
        self._ledger.set_state(
            self.node.id,
            NodeState.BEHIND,
            generation=self._local.number,
            reason=self._behind_in_full,
        )

    def _be_behind(self, me: NodeRecord) -> bool:
        """Say it anew where the ledger does not know: after a drain, after a gap."""
        if me.state is not NodeState.JOINING:
            return False
        self._say_behind()
        return True

    # WHAT IS STAGING

    def _vote(self, seen: Observation) -> bool:
        staging = seen.staging
        if staging is None or not self._is_asked(staging):
            return False
        began = self._clock()
        failed = self._stage(staging)
        if failed is None:
            return True  # it has failed meanwhile: look again
        faults.point("staged")
        vote = Vote(
            node=self.node.id,
            loaded=not failed,
            reason=_reason(failed),
            failures=failed,
            duration=self._clock() - began,
        )
        self._ledger.vote(vote, staging.number)
        faults.point("voted")
        return True

    def _is_asked(self, staging: Generation) -> bool:
        return any(
            vote.node == self.node.id and vote.loaded is None and not vote.left
            for vote in staging.votes
        )

    def _stage(self, staging: Generation) -> tuple[Failed, ...] | None:
        if self._local.staged == staging.number:  # the vote did not get through
            return ()
        contents = self._contents(staging.number)
        if contents is None:
            return None
        self._until = self._clock() + _allowed(staging)
        with self.alive():
            return self._local.stage(contents)

    def be_cut_off(self) -> None:
        """Let go of what is staged, if no decision about it comes in all its time.

        The others may have made it active: then this node loads it when it can ask
        the ledger again.
        """
        if self._local.staged is not None and self._clock() > self._until:
            _log.warning("what becomes of %d is not known", self._local.staged)
            self._local.discard()

    def _decide(self, seen: Observation) -> None:
        """Let the ledger decide what no vote will decide."""
        now = self._clock()
        if seen.staging is None:
            if seen.queued:
                self._ledger.advance()
            return
        if self._first_seen[0] != seen.staging.number:
            self._first_seen = (seen.staging.number, now)
            self._looked = now  # most are decided by votes before that
        if now - self._looked < _patience(seen.staging):
            return
        self._looked = now
        late = now - self._first_seen[1] > _allowed(seen.staging)
        overdue = seen.staging.number if late else None
        gone = self._gone(self._ledger.nodes(self.node.host))
        self._ledger.advance(gone, overdue=overdue)

    # SIGNS OF LIFE

    def _asked(self, seen: Observation) -> bool:
        for question in seen.questions:
            self._answer(question)
        if seen.reloads <= self.reloads or self._local.staged is not None:
            return False  # what was voted on must be what is switched
        self.reloads = seen.reloads
        self._cannot = None
        self._reload(seen.reloads, seen.confirming == seen.reloads)
        self._beaten -= self._lease  # what came of it is told at once
        return True

    def _beat(self, seen: Observation) -> None:
        now = self._clock()
        if now - self._beaten < self._lease / BEATS:
            return
        self._give_sign()
        gone = self._gone(self._ledger.nodes(self.node.host))
        if gone:
            self._ledger.advance(gone)
        if self._pruned != seen.active:
            self._pruned = seen.active
            self._ledger.prune(self._history)

    def alive(self) -> AbstractContextManager[None]:
        """Give signs of life while a block runs that may take longer than a lease."""
        return self._beside(self._try_to_give_sign, self._lease / BEATS)

    def _try_to_give_sign(self) -> None:
        try:
            self._give_sign()
        except LedgerError as error:  # the next step says what is the matter
            _log.debug("no sign of life: %s", error)

    def _give_sign(self) -> None:
        now = self._clock()
        self._ledger.beat(self.node.id, lease=self._lease, report=self._report())
        self._beaten = now

    def tell(self) -> None:
        """Say anew what this node reports; soon, not at once."""
        self._beaten -= self._lease

    def _pause(self, seen: Observation) -> float:
        if seen.staging is not None:
            return _patience(seen.staging)
        if seen.queued:
            return 0.0
        return max(0.0, self._beaten + self._lease / BEATS - self._clock())


def _patience(staging: Generation) -> float:
    return LOOK * max(1.0, len(staging.votes) / CROWD)


def _allowed(staging: Generation) -> float:
    return (staging.deadline or 0.0) - (staging.staged_at or 0.0)


def _reason(failed: tuple[Failed, ...]) -> str:
    if not failed:
        return ""
    first = f"{failed[0].package}: {failed[0].reason}"
    return first if len(failed) == 1 else f"{first} (and {len(failed) - 1} more)"
