"""The suite is worth something: ledgers that are broken on purpose do not pass it.

Each of them lacks one thing that a promise rests on, and fails the test named with it.
"""

from __future__ import annotations

import contextlib
import functools
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import Phase
from sqlalchemy import select

from contract.ledger import (
    test_artifacts,
    test_ballots,
    test_generations,
    test_model,
    test_nodes,
    test_proposals,
    test_together,
)
from contract.ledger.scene import PostgresqlPlace, Scene, SqlitePlace
from pointsman.errors import Error
from pointsman.ledger import artifacts, decisions, open_ledger, pruning
from pointsman.ledger.postgresql import Postgresql
from pointsman.ledger.schema import cluster
from pointsman.ledger.sqlite import Sqlite
from pointsman.ledger.whole import SqlLedger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pointsman.cluster import State, Vote
    from pointsman.interfaces import Ledger


#: How a test fails: an assertion, an error of the ledger, no error where one is due.
MISSED = (AssertionError, Error, pytest.fail.Exception)


class Unlocked(SqlLedger):
    """Reads the cluster row without locking it: before others have committed.

    So does PostgreSQL where ``FOR UPDATE`` is left out.  Both sides of a race have
    read before either writes.
    """

    read = threading.local()
    both = threading.Barrier(2)

    def _lock(self, connection: Any) -> Any:
        return getattr(self.read, "row", None) or super()._lock(connection)

    def _early(self, act: Callable[[], Any]) -> Any:
        with self._database.reading() as connection:
            self.read.row = super()._lock(connection)
        try:
            self.both.wait(0.5)
        except threading.BrokenBarrierError:
            self.both.reset()  # nobody else is there
        try:
            return act()
        finally:
            self.read.row = None

    def ready(self, node: str, number: int) -> bool:
        """Lose the race against a decision."""
        return bool(self._early(functools.partial(super().ready, node, number)))

    def vote(self, vote: Vote, number: int) -> None:
        """Lose the race against a node that joins."""
        self._early(functools.partial(super().vote, vote, number))


class Uncompared(SqlLedger):
    """Makes a node ready whatever it has loaded."""

    def ready(self, node: str, number: int) -> bool:
        """Take the node's word for the active generation."""
        del number
        return super().ready(node, self.observe(node).active)


class Forgetful(SqlLedger):
    """Lets a node that gets ready stay out of the ballot."""

    def ready(self, node: str, number: int) -> bool:
        """Leave again what was entered."""
        found = super().ready(node, number)
        with self._database.writing() as connection:
            seen = self._lock(connection)
            self._depart(connection, node, seen.staging, "it was never in")
        return found


def opened_as(kind: type[SqlLedger]) -> Callable[..., Ledger]:
    """Open ledgers of a broken kind."""

    def opened(url: str, **other: Any) -> Ledger:
        whole = open_ledger(url, **other)
        assert isinstance(whole, SqlLedger)
        return kind(whole._database, whole._absent_after)

    return opened


@pytest.mark.parametrize(
    ("kind", "test"),
    [
        (Unlocked, test_together.test_a_decision_and_a_join_at_one_moment),
        (Uncompared, test_ballots.test_ready_compares),
        (Forgetful, test_ballots.test_a_node_that_gets_ready_takes_part),
    ],
)
def test_broken_ledgers_fail(
    kind: type[SqlLedger], test: Callable[[Scene], None], folder: Path
) -> None:
    """A ledger that lacks the lock, the comparison or the entry fails the suite."""
    place = SqlitePlace(folder, opened_as(kind))
    try:
        with pytest.raises(MISSED):
            test(Scene(place))
    finally:
        place.close()


class Slow(SqlLedger):
    """Lets others in between reading the cluster row and writing it."""

    both = threading.Barrier(2)

    def _lock(self, connection: Any) -> Any:
        row = super()._lock(connection)
        if threading.current_thread() is not threading.main_thread():
            with contextlib.suppress(threading.BrokenBarrierError):
                self.both.wait(0.2)
            self.both.reset()
        return row


def test_without_the_lock_of_the_database(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without BEGIN IMMEDIATE, one of two proposals at one moment is turned away."""
    monkeypatch.setattr(Sqlite, "begin_writing", "BEGIN")
    place = SqlitePlace(folder, opened_as(Slow))
    try:
        with pytest.raises(MISSED):
            test_together.test_two_proposals_at_one_moment(Scene(place))
    finally:
        place.close()


class NoRowLock(SqlLedger):
    """Reads the cluster row, and does not lock it; others read it at that moment, too.

    What PostgreSQL calls write skew: a decision and a node that gets ready do not see
    each other, and both are committed.
    """

    both = threading.Barrier(2)
    locking = False

    def _lock(self, connection: Any) -> Any:
        if self.locking:
            return super()._lock(connection)
        return connection.execute(select(cluster).where(cluster.c.id == 1)).one()

    def _enter(self, *arguments: Any) -> None:
        self._meet()
        super()._enter(*arguments)

    def _verdict(self, *arguments: Any, **other: Any) -> Any:
        found = super()._verdict(*arguments, **other)
        self._meet()
        return found

    def _meet(self) -> None:
        if threading.current_thread() is not threading.main_thread():
            with contextlib.suppress(threading.BrokenBarrierError):
                self.both.wait(0.2)
            self.both.reset()


class RowLock(NoRowLock):
    """The same with the lock: so it is the lock that makes the difference."""

    locking = True


def test_without_the_lock_of_the_row(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without FOR UPDATE, a node is ready with what was replaced in that moment."""
    monkeypatch.setattr(test_together, "ROUNDS", 4)
    whole = PostgresqlPlace(opened=opened_as(RowLock))
    try:
        test_together.test_a_decision_and_a_join_at_one_moment(Scene(whole))
    finally:
        whole.close()
    place = PostgresqlPlace(opened=opened_as(NoRowLock))
    try:
        with pytest.raises(MISSED):
            test_together.test_a_decision_and_a_join_at_one_moment(Scene(place))
    finally:
        place.close()


def test_without_notifications(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without NOTIFY nobody is told to look."""
    monkeypatch.setattr(Postgresql, "tell", lambda *_: None)
    monkeypatch.setattr(test_nodes, "wait_for", lambda told, what: _require(told()))
    place = PostgresqlPlace()
    try:
        with pytest.raises(MISSED):
            test_nodes.test_changed(Scene(place))
    finally:
        place.close()


def _require(told: bool) -> None:  # noqa: FBT001 - what a condition has said
    assert told


_verdict = decisions.verdict


def first_vote_decides(
    votes: Iterable[Vote], leases: Mapping[str, float], **times: Any
) -> decisions.Verdict:
    """Decide without a full ballot."""
    votes = tuple(votes)
    if any(vote.loaded and not vote.left for vote in votes):
        return decisions.DECIDED
    return _verdict(votes, leases, **times)


def nobody_decides(
    votes: Iterable[Vote], leases: Mapping[str, float], **times: Any
) -> decisions.Verdict:
    """Decide an empty ballot."""
    votes = tuple(votes)
    if all(vote.left for vote in votes):
        return decisions.DECIDED
    return _verdict(votes, leases, **times)


def leavers_count(
    votes: Iterable[Vote], leases: Mapping[str, float], **times: Any
) -> decisions.Verdict:
    """Take the votes of those that have left for a ballot."""
    votes = tuple(votes)
    waiting = [vote for vote in votes if vote.loaded is None and not vote.left]
    if votes and not waiting:
        return decisions.DECIDED
    return _verdict(votes, leases, **times)


def silence_is_patience(
    votes: Iterable[Vote], leases: Mapping[str, float], **times: Any
) -> decisions.Verdict:
    """Wait for a node whose lease has ended."""
    del leases
    votes = tuple(votes)
    return _verdict(votes, {vote.node: float("inf") for vote in votes}, **times)


def failures_wait(
    votes: Iterable[Vote], leases: Mapping[str, float], **times: Any
) -> decisions.Verdict:
    """Wait for the others after a failed vote."""
    kept = [vote for vote in votes if vote.loaded is not False]
    return _verdict(kept, leases, **times)


def always_overdue(*arguments: Any, overdue: bool, **times: Any) -> decisions.Verdict:
    """Believe that the caller means what is staging now."""
    del overdue
    return _verdict(*arguments, overdue=True, **times)


def only_newest(states: Mapping[int, State], keep: int) -> frozenset[int]:
    """Keep nothing but the newest."""
    return frozenset(sorted(states)[-keep:])


@pytest.mark.parametrize(
    ("where", "name", "broken", "test"),
    [
        (
            decisions,
            "verdict",
            first_vote_decides,
            test_ballots.test_all_votes_decide,
        ),
        (
            decisions,
            "verdict",
            nobody_decides,
            test_ballots.test_an_empty_ballot_waits_for_a_node,
        ),
        (
            decisions,
            "verdict",
            leavers_count,
            test_ballots.test_a_ballot_that_all_have_left_is_empty,
        ),
        (
            decisions,
            "verdict",
            silence_is_patience,
            test_ballots.test_a_lease_that_ends_fails_it,
        ),
        (
            decisions,
            "verdict",
            failures_wait,
            test_ballots.test_one_failed_vote_decides,
        ),
        (
            decisions,
            "verdict",
            always_overdue,
            test_ballots.test_overdue_by_the_callers_clock,
        ),
        (
            decisions,
            "conflict",
            lambda *_: "",
            test_ballots.test_queued_proposals_conflict,
        ),
        (
            decisions,
            "bounded",
            lambda until, *_: until,
            test_ballots.test_a_clock_set_back_prolongs_little,
        ),
        (
            decisions,
            "already",
            lambda *_: None,
            test_proposals.test_the_same_again_is_nothing_new,
        ),
        (
            decisions,
            "clash",
            lambda *_: "",
            test_proposals.test_another_kind_of_source_is_refused,
        ),
        (
            decisions,
            "kept",
            only_newest,
            test_generations.test_prune_keeps_what_serves_and_what_comes,
        ),
        (
            pruning,
            "_needs",
            lambda row: [row.number] if row.state in ("active", "retired") else [],
            test_generations.test_failed_ones_keep_their_contents,
        ),
        (
            pruning,
            "_needs",
            lambda row: [row.number],
            test_generations.test_prune_keeps_what_queued_ones_are_compared_with,
        ),
        (
            artifacts._Incoming,
            "require_complete",
            lambda _: None,
            test_artifacts.test_another_digest_is_refused,
        ),
        (
            artifacts.Artifacts,
            "_is_stored",
            artifacts.Artifacts.has,
            test_generations.test_storing_again_keeps_it_for_another_hour,
        ),
    ],
)
def test_broken_decisions_fail(  # noqa: PLR0917 - pytest gives them by name
    where: Any,
    name: str,
    broken: Any,
    test: Callable[..., None],
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each rule that is left out is missed by a test."""
    monkeypatch.setattr(where, name, broken)
    place = SqlitePlace(folder)
    more = {"first": "replaced"} if test.__name__.endswith("conflict") else {}
    try:
        with pytest.raises(MISSED):
            test(Scene(place), **more)
    finally:
        place.close()


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("verdict", first_vote_decides),
        ("conflict", lambda *_: ""),
    ],
)
def test_the_model_misses_nothing(
    name: str, broken: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Random deeds find out, too, what a single test was written for."""
    monkeypatch.setattr(decisions, name, broken)
    with pytest.raises(MISSED):
        test_model.run(
            SqlitePlace,
            max_examples=100,
            stateful_step_count=40,
            derandomize=True,  # found once, it is found always
            database=None,
            phases=[Phase.generate],
        )
