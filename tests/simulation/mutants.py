"""The product with one thing broken on purpose, for the time of a run."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from pointsman.ledger import ballots, decisions, nodes, part
from pointsman.ledger.nodes import Nodes
from pointsman.ledger.schema import cluster
from pointsman.local import Local
from pointsman.reconcile import Reconciler

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from pointsman.cluster import Contents, NodeRecord, Observation

_verdict = decisions.verdict


def without_row_lock(patch: pytest.MonkeyPatch) -> None:
    """Read the cluster row without FOR UPDATE: a join and a decision pass unseen."""
    patch.setattr(part, "_LOCK", select(cluster).where(cluster.c.id == 1))


def first_vote_decides(patch: pytest.MonkeyPatch) -> None:
    """Take one vote for a full ballot."""

    def decided(votes: Any, leases: Any, **times: Any) -> decisions.Verdict:
        votes = tuple(votes)
        if any(vote.loaded and not vote.left for vote in votes):
            return decisions.DECIDED
        return _verdict(votes, leases, **times)

    patch.setattr(decisions, "verdict", decided)


def leases_cut_without_lock(patch: pytest.MonkeyPatch) -> None:
    """Cut down the leases of others with one's own row in hand, as was done once."""
    beat = Nodes.beat

    def cutting(self: Nodes, node: str, **values: Any) -> bool:
        with self._database.writing() as connection:
            now = self._database.now(connection)
            connection.execute(nodes._ALIVE, {"who": node, "now": now})
            connection.execute(ballots.BOUND_LEASES, {"now": now})
        return beat(self, node, **values)

    patch.setattr(Nodes, "beat", cutting)


def hints_are_the_truth(patch: pytest.MonkeyPatch) -> None:
    """Look at the ledger only when told to."""
    patch.setattr(Reconciler, "_pause", lambda self, seen: math.inf)


def switched_when_staged(patch: pytest.MonkeyPatch) -> None:
    """Serve what is loaded, before all have voted."""
    stage = Local.stage

    def at_once(self: Local, contents: Contents) -> Any:
        failed = stage(self, contents)
        if not failed:
            self.switch()
        return failed

    patch.setattr(Local, "stage", at_once)


def failed_is_kept(patch: pytest.MonkeyPatch) -> None:
    """Let what is staged stay, whatever became of it, and switch to it later."""
    patch.setattr(Reconciler, "_let_go", lambda self, seen: None)

    def follow(self: Reconciler, seen: Observation, me: NodeRecord) -> bool:
        if self._local.staged is not None and seen.staging is None:
            self._local.switch()
            return True
        return before(self, seen, me)

    before = Reconciler._follow
    patch.setattr(Reconciler, "_follow", follow)


MUTANTS: Final[tuple[Callable[[pytest.MonkeyPatch], None], ...]] = (
    without_row_lock,
    first_vote_decides,
    leases_cut_without_lock,
    hints_are_the_truth,
    switched_when_staged,
    failed_is_kept,
)
