"""Waiting for what becomes of a generation.  Engine."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.cluster import NodeState, State
from pointsman.errors import LedgerError, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.cluster import Generation, Proposed
    from pointsman.interfaces import Ledger

_SHORTEST, _LONGEST = 0.002, 0.05  # seconds between two looks at the ledger
_DECIDED = (State.ACTIVE, State.RETIRED, State.FAILED)


@dataclass(frozen=True, slots=True)
class Result:
    """What became of a proposal.

    ``unchanged``: the generation had all of it before.  ``timed_out``: it was not
    decided in time, and is failed now; or, when it is somebody else's, still on its
    way.  ``late`` are the nodes that voted for it and do not serve it yet.
    """

    generation: Generation
    unchanged: bool = False
    timed_out: bool = False
    late: tuple[str, ...] = ()


class Verdicts:
    """Knows when a generation is decided and served.  Any thread."""

    def __init__(self, ledger: Ledger, wake: Callable[[], None]) -> None:
        """Take the ledger, and what lets the node of this process look at it."""
        self._ledger = ledger
        self._wake = wake
        self._moved = threading.Condition()

    def generation(self, number: int) -> Generation:
        """Return the record of a generation.

        Raises:
            Refused: 404, there is none, or it is not kept any more.

        """
        found = self._ledger.generation(number)
        if found is None:
            detail = f"there is no generation {number}, or it is not kept any more"
            raise Refused(404, "Not Found", detail)
        return found

    def moved(self) -> None:
        """Let those who wait look at once: this process has voted or switched."""
        with self._moved:
            self._moved.notify_all()

    def wait(self, number: int, seconds: float) -> Generation:
        """Wait until it is decided, and all its voters serve it or have left.

        Blocks for ``seconds`` at most, and returns what is known then.  While the
        ledger cannot be used it goes on waiting.

        Raises:
            Refused: 404, there is no such generation.
            LedgerError: the ledger cannot be used when the time is over.

        """
        began = time.monotonic()
        while True:
            passed = time.monotonic() - began
            left = seconds - passed
            try:
                found = self.generation(number)
                if _is_over(found) and not self.late(found):
                    return found
            except LedgerError:
                if left <= 0:
                    raise
            else:
                if left <= 0:
                    return found
            # So that waiting costs a tenth of what is waited for, and no more.
            pause = min(max(_SHORTEST, passed / 10), _LONGEST)
            with self._moved:
                self._moved.wait(min(pause, max(left, 0)))

    def decide(self, proposed: Proposed, seconds: float) -> Result:
        """Wait as `wait` does; when the time is over, a proposal of ours is failed.

        What was there before (``proposed.unchanged``) is never failed by this.
        """
        found = self.wait(proposed.number, seconds)
        timed_out = not _is_over(found)
        if timed_out and not proposed.unchanged:
            reason = f"not decided within {seconds:g} s, and taken back"
            timed_out = self._ledger.abort(proposed.number, reason)
            self._wake()
            found = self.generation(proposed.number)
        return Result(found, proposed.unchanged, timed_out, self.late(found))

    def late(self, generation: Generation) -> tuple[str, ...]:
        """Return the nodes that serve, voted for it, and have not switched to it.

        A node that is gone, drains, or has not been heard of does not count; nor
        does any once the generation has been replaced or failed.
        """
        if generation.state is not State.ACTIVE:
            return ()
        waiting = {v.node for v in generation.votes if not v.left and not v.switched_at}
        if not waiting:
            return ()
        now = self._ledger.observe("").now
        return tuple(
            node.id
            for node in self._ledger.nodes()
            if node.id in waiting
            and node.serves
            and node.state in _FOLLOWING
            and node.lease_until > now
        )


#: Who has voted, and will switch: one that is behind was called up.
_FOLLOWING = (NodeState.READY, NodeState.BEHIND)


def _is_over(generation: Generation) -> bool:
    return generation.state in _DECIDED
