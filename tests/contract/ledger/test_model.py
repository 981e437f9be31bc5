"""Anything that nodes and people do, in any order, keeps the promises."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contract.ledger.scene import LEASE, MEMORY, Scene
from pointsman.cluster import Change, Contents, NodeState, State
from pointsman.errors import Refused
from pointsman.ledger.decisions import applied

if TYPE_CHECKING:
    from collections.abc import Callable

    from contract.ledger.scene import Place
    from pointsman.cluster import Generation

NODES = ("n1", "n2", "n3")
KEEP = 4

packages = st.sampled_from("abc")
contents = st.sampled_from("12")
nodes = st.sampled_from(NODES)


class Cluster(RuleBasedStateMachine):
    """Does things at random, and knows what each generation has to serve."""

    def __init__(self, make: Callable[[Path], Place]) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory(dir=MEMORY, prefix="ledger-")
        self.place = make(Path(self.folder.name))
        self.scene = Scene(self.place)
        self.expected = {0: Contents(0)}  # of those that were active

    def teardown(self) -> None:
        """Close everything."""
        assert () == self.scene.ledger.check()
        self.place.close()
        self.folder.cleanup()

    @initialize()
    def begin(self) -> None:
        """Begin with somebody who votes."""
        self.scene.join("n1")

    # WHAT PEOPLE DO

    @rule(wanted=st.dictionaries(packages, contents, min_size=1), gone=packages)
    def propose(self, wanted: dict[str, str], gone: str) -> None:
        """Propose some packages, and another one's end."""
        changes = [self.scene.put(name, text) for name, text in wanted.items()]
        if gone not in wanted and gone in self.scene_serves():
            changes.append(Change(gone))
        found = self.scene.propose(*changes)
        assert found.unchanged or self.scene.record(found.number).changes

    @rule(name=packages)
    def take_away(self, name: str) -> None:
        """Undeploy something, if it is there."""
        try:
            self.scene.propose(Change(name), what="undeploy")
        except Refused:
            assert name not in self.scene_serves()

    @rule(back=st.integers(0, 3))
    def abort(self, back: int) -> None:
        """Give up one of the last."""
        newest = self.scene.ledger.generations(limit=1)
        if newest:
            number = newest[0].number - back
            before = self.scene.ledger.generation(number)
            done = self.scene.ledger.abort(number, "aborted")
            open_ = before and before.state in (State.QUEUED, State.STAGING)
            assert bool(open_) is done

    @rule()
    def prune(self) -> None:
        """Drop what is old."""
        self.scene.ledger.prune(KEEP)

    # WHAT NODES DO

    @rule(name=nodes)
    def join(self, name: str) -> None:
        """Join, and be ready."""
        self.scene.join(name)

    @rule(name=nodes, state=st.sampled_from(NodeState))
    def change(self, name: str, state: NodeState) -> None:
        """Become something else."""
        if state is not NodeState.READY:
            self.scene.ledger.set_state(name, state, generation=0)

    @rule(name=nodes, known=st.booleans())
    def leave(self, name: str, *, known: bool) -> None:
        """Leave, or be found dead."""
        if known:
            self.scene.ledger.leave(name)
        else:
            self.scene.ledger.advance([name])

    @precondition(lambda self: self.scene.ledger.observe("").staging)
    @rule(name=nodes, loaded=st.sampled_from([True, True, True, False]))
    def vote(self, name: str, *, loaded: bool) -> None:
        """Vote on what is staging."""
        staging = self.scene.ledger.observe(name).staging
        assert staging is not None
        self.scene.vote(name, staging.number, loaded=loaded)

    @rule()
    def all_vote(self) -> None:
        """Load what is staging everywhere."""
        staging = self.scene.ledger.observe("").staging
        if staging is not None:
            self.scene.vote_all(staging.number)

    # WHAT TIME DOES

    @rule(seconds=st.sampled_from([1.0, LEASE / 2, 100.0, -3600.0]))
    def pass_time(self, seconds: float) -> None:
        """Set the clock; nodes that are there give a sign of life."""
        self.scene.clock.now += seconds
        for one in self.scene.ledger.nodes():
            self.scene.beat(one.id)
        self.scene.ledger.advance()

    # WHAT HAS TO BE TRUE

    def scene_serves(self) -> dict[str, str]:
        """Return what the active generation serves, as it should."""
        return {
            name: one.digest
            for name, one in self.expected[self.scene.active].entries.items()
        }

    @invariant()
    def one_line_of_generations(self) -> None:
        """One is active, one at most is staging, and nothing waits for nothing."""
        found = self.scene.ledger.generations(limit=1000)
        states = [one.state for one in reversed(found)]
        active = self.scene.active
        assert (1 if active else 0) == states.count(State.ACTIVE)
        assert states.count(State.STAGING) <= 1
        assert State.QUEUED not in states or State.STAGING in states
        order = [State.RETIRED, State.ACTIVE, State.STAGING, State.QUEUED]
        line = [order.index(state) for state in states if state in order]
        assert sorted(line) == line

    @invariant()
    def everything_that_was_active_is_what_it_was(self) -> None:
        """Each one that was active was decided by all, and serves what it should."""
        found = {one.number: one for one in self.scene.ledger.generations(limit=1000)}
        previous = max(self.expected)
        for number, one in sorted(found.items()):
            was = one.state in (State.ACTIVE, State.RETIRED)
            if was and number not in self.expected:
                base = self.expected[previous]
                self.expected[number] = applied(base, number, one.changes)
                votes = self.scene.record(number).votes
                self.nothing_was_undone(one, base)
                counting = [vote for vote in votes if not vote.left]
                assert counting
                assert all(vote.loaded for vote in counting)
            previous = number if was else previous
            if was:
                assert self.expected[number] == self.scene.ledger.contents(number)

    def nothing_was_undone(self, one: Generation, parent: Contents) -> None:
        """What it changes was what its proposal had seen, or what it wanted."""
        seen = self.expected[one.base].entries
        for change in one.changes:
            now = parent.entries.get(change.package)
            assert now in (seen.get(change.package), change.entry)

    @rule()
    def others_read_the_same(self) -> None:
        """Another process that has seen nothing reads what is active, too."""
        active = self.scene.active
        other = self.place.open()
        try:
            expected = self.expected[active] if active else None
            assert expected == other.contents(active)
        finally:
            other.close()


def run(make: Callable[[Path], Place], **other: Any) -> None:
    """Let it do things at random."""
    values = {"max_examples": 12, "stateful_step_count": 25, "deadline": None, **other}
    values["suppress_health_check"] = list(HealthCheck)
    machine: Any = lambda: Cluster(make)  # noqa: E731 - it is asked for a class
    run_state_machine_as_test(machine, settings=settings(**values))


def test_all_that_can_happen(place: Place) -> None:
    """Proposals, votes, leavers, clocks, pruning, in any order: nothing breaks."""
    run(type(place))
