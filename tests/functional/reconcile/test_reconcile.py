"""Several nodes on one ledger, stepped by hand, with a clock of the test's own."""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from pointsman.cluster import (
    Actor,
    Change,
    Contents,
    Entry,
    Failed,
    NodeRecord,
    NodeState,
    Proposal,
    State,
)
from pointsman.errors import LedgerError
from pointsman.ledger import open_ledger
from pointsman.model import Kind
from pointsman.reconcile import CROWD, LOOK, Reconciler

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pointsman.interfaces import Ledger

LEASE = 15.0
TIMEOUT = 60.0
ACTOR = Actor("a test")


@dataclass
class Follower:
    """A process's end of the generations, without any code in it."""

    broken: set[str] = field(default_factory=set)  # packages that fail here
    number: int = 0
    staged: int | None = None
    served: list[int] = field(default_factory=list)

    def _failures(self, contents: Contents) -> tuple[Failed, ...]:
        names = sorted(contents.entries.keys() & self.broken)
        return tuple(Failed(name, "does not load here") for name in names)

    def stage(self, contents: Contents) -> tuple[Failed, ...]:
        failed = self._failures(contents)
        if not failed:
            self.staged = contents.number
        return failed

    def switch(self) -> None:
        assert self.staged is not None
        self.number, self.staged = self.staged, None
        self.served.append(self.number)

    def discard(self) -> None:
        self.staged = None

    def join(self, contents: Contents) -> tuple[Failed, ...]:
        failed = self._failures(contents)
        if not failed:
            self.number = contents.number
            self.served.append(self.number)
        return failed


class Cluster:
    """Nodes by name, their ledger, and one clock for all."""

    def __init__(self, folder: Path) -> None:
        self.now = 1_000_000.0
        url = f"sqlite:///{folder / 'ledger.sqlite'}"
        self.ledger: Ledger = open_ledger(url, clock=lambda: self.now)
        self.nodes: dict[str, Reconciler] = {}
        self.followers: dict[str, Follower] = {}
        self.dead: set[str] = set()
        self.reloads: list[tuple[str, int, bool]] = []

    def add(
        self, name: str, *, broken: Iterable[str] = (), reloads: int = -1
    ) -> Reconciler:
        self.followers[name] = Follower(set(broken))
        record = NodeRecord(
            id=name,
            host="here",
            pid=len(self.nodes) + 1,
            started=1,
            release="1",
            python="3",
            state=NodeState.JOINING,
            generation=0,
            joined_at=0.0,
            lease_until=0.0,
        )
        self.nodes[name] = Reconciler(
            node=record,
            ledger=self.ledger,
            local=self.followers[name],
            lease=LEASE,
            history=100,
            gone=lambda nodes: frozenset(n.id for n in nodes) & self.dead,
            report=dict,
            answer=lambda question: self.ledger.answer(question.id, {"by": name}),
            reload=lambda number, confirm: self.reloads.append((name, number, confirm)),
            reloads=reloads,
            clock=lambda: self.now,
        )
        return self.nodes[name]

    def kill(self, name: str) -> None:
        """End a process: it steps no more, and those on its host see it."""
        del self.nodes[name]
        self.dead.add(name)

    def settle(self, *names: str) -> None:
        """Step each node until it has nothing to do; again, until none has."""
        for _ in range(100):
            chosen = names or tuple(self.nodes)
            # A list: each of them takes its step, whatever the one before it says.
            if min([self.nodes[name].step() for name in chosen], default=1) > 0:
                return
        raise AssertionError("they never settle")

    def deploy(self, name: str, text: str, **more: object) -> int:
        """Propose one package; return the generation."""
        content = text.encode()
        digest = hashlib.sha256(content).hexdigest()
        self.ledger.store(digest, len(content), [content])
        entry = Entry(name, digest, Kind.MODULE, f"{name}.py", size=len(content))
        change = Change(name, entry)
        proposal = Proposal(ACTOR, "deploy", (change,), **more)  # type: ignore[arg-type]
        return self.ledger.propose(proposal, timeout=TIMEOUT).number

    def state(self, number: int) -> State:
        found = self.ledger.generation(number)
        assert found is not None
        return found.state

    def reason(self, number: int) -> str:
        found = self.ledger.generation(number)
        assert found is not None
        return found.reason

    def served(self) -> dict[str, int]:
        return {name: self.followers[name].number for name in self.nodes}


@pytest.fixture(name="cluster")
def three_nodes(tmp_path: Path) -> Iterator[Cluster]:
    """Return three nodes that are ready, on a ledger without generations."""
    cluster = Cluster(tmp_path)
    for name in ("a", "b", "c"):
        cluster.add(name)
    cluster.settle()
    yield cluster
    cluster.ledger.close()


def test_all_switch(cluster: Cluster) -> None:
    """A generation that every node loads becomes active, and each serves it."""
    number = cluster.deploy("crm", "1")
    cluster.settle()

    assert State.ACTIVE == cluster.state(number)
    assert {"a": number, "b": number, "c": number} == cluster.served()


def test_nobody_switches_before_all_have_voted(cluster: Cluster) -> None:
    """Two of three votes decide nothing, and nothing is switched."""
    number = cluster.deploy("crm", "1")
    cluster.settle("a", "b")

    assert State.STAGING == cluster.state(number)
    assert {"a": 0, "b": 0, "c": 0} == cluster.served()


def test_one_failure_fails_it_everywhere(cluster: Cluster) -> None:
    """One node that cannot load it is enough: nobody switches, all discard it."""
    cluster.followers["b"].broken.add("crm")
    number = cluster.deploy("crm", "1")
    cluster.settle()

    assert State.FAILED == cluster.state(number)
    assert {"a": 0, "b": 0, "c": 0} == cluster.served()
    assert [None] * 3 == [one.staged for one in cluster.followers.values()]
    assert "crm" in cluster.reason(number)


def test_a_dead_node_is_no_obstacle(cluster: Cluster) -> None:
    """A process that is gone leaves the ballot, and the others decide."""
    number = cluster.deploy("crm", "1")
    cluster.kill("c")
    cluster.settle()
    cluster.now += 1
    cluster.settle()

    assert State.ACTIVE == cluster.state(number)
    assert {"a": number, "b": number} == cluster.served()


def test_a_silent_node_fails_it_and_is_named(cluster: Cluster) -> None:
    """Without proof that it is dead, a node whose lease ends is not passed over."""
    number = cluster.deploy("crm", "1")
    for _ in range(8):
        cluster.now += LEASE / 4
        cluster.settle("a", "b")

    assert State.FAILED == cluster.state(number)
    assert "c" in cluster.reason(number)
    assert {"a": 0, "b": 0, "c": 0} == cluster.served()


def test_the_deadline_is_seen_by_a_nodes_own_clock(cluster: Cluster) -> None:
    """It ends also when the ledger's clock was set back meanwhile."""
    number = cluster.deploy("crm", "1")
    mine = [0.0]
    cluster.nodes["a"]._clock = lambda: mine[0]
    cluster.nodes["a"]._looked = -10.0
    cluster.settle("a")
    cluster.now -= 3600
    mine[0] = TIMEOUT + 1
    cluster.settle("a")

    assert State.FAILED == cluster.state(number)


def test_who_comes_late_goes_to_the_active_one(cluster: Cluster) -> None:
    """A node that joins loads what is active before it has a vote."""
    number = cluster.deploy("crm", "1")
    cluster.settle()
    cluster.add("d")
    cluster.settle("d")

    assert number == cluster.followers["d"].number
    states = {one.id: one.state for one in cluster.ledger.nodes()}
    assert NodeState.READY == states["d"]


def test_who_joins_during_a_vote_has_one(cluster: Cluster) -> None:
    """A generation that is staging waits for a node that became ready meanwhile."""
    number = cluster.deploy("crm", "1")
    cluster.settle("a", "b")
    cluster.add("d")
    cluster.settle("d")
    cluster.settle("c")
    cluster.settle()

    assert State.ACTIVE == cluster.state(number)
    assert number == cluster.followers["d"].number


def test_who_cannot_follow_serves_on_and_says_so(cluster: Cluster) -> None:
    """A node that cannot load the active generation is behind, and has no vote."""
    first = cluster.deploy("crm", "1")
    cluster.settle()
    cluster.add("d", broken=["crm"])
    cluster.settle("d")
    record = {one.id: one for one in cluster.ledger.nodes()}["d"]
    second = cluster.deploy("erp", "1")
    cluster.settle()

    assert (NodeState.BEHIND, 0) == (record.state, record.generation)
    assert "does not load here" in record.reason
    assert State.ACTIVE == cluster.state(second)
    assert first < second
    assert 0 == cluster.followers["d"].number
    assert "does not load here" in cluster.nodes["d"].behind


def test_who_was_behind_catches_up(cluster: Cluster) -> None:
    """It is tried again when a reload asks for it, and the node has a vote again."""
    number = cluster.deploy("crm", "1")
    cluster.settle()
    cluster.add("d", broken=["crm"])
    cluster.settle("d")
    cluster.followers["d"].broken.clear()
    cluster.ledger.request_reload(ACTOR)
    cluster.settle()

    assert number == cluster.followers["d"].number
    assert "" == cluster.nodes["d"].behind
    states = {one.id: one.state for one in cluster.ledger.nodes()}
    assert NodeState.READY == states["d"]


def test_who_was_forgotten_introduces_itself_again(cluster: Cluster) -> None:
    """A node that the others left for dead joins anew, and follows."""
    cluster.ledger.leave("c")
    number = cluster.deploy("crm", "1")
    cluster.settle("a", "b")
    cluster.settle("c")

    assert State.ACTIVE == cluster.state(number)
    assert number == cluster.followers["c"].number


def test_the_next_one_is_staged_afterwards(cluster: Cluster) -> None:
    """What is proposed during a vote follows it, also when that fails."""
    cluster.followers["a"].broken.add("crm")
    first = cluster.deploy("crm", "1")
    second = cluster.deploy("erp", "1")
    assert State.QUEUED == cluster.state(second)
    cluster.settle()

    assert State.FAILED == cluster.state(first)
    assert State.ACTIVE == cluster.state(second)


def test_with_nobody_there_it_waits_and_fails(tmp_path: Path) -> None:
    """An empty ballot decides nothing; a node that comes decides it."""
    cluster = Cluster(tmp_path)
    number = cluster.deploy("crm", "1")
    assert State.STAGING == cluster.state(number)
    cluster.add("a")
    cluster.settle()

    assert State.ACTIVE == cluster.state(number)
    assert number == cluster.followers["a"].number


def test_reloads_are_asked_once(cluster: Cluster) -> None:
    """Each node reads its sources again once per request, also one that was asleep."""
    one = cluster.ledger.request_reload(ACTOR)
    two = cluster.ledger.request_reload(ACTOR, confirm_removals=True)
    cluster.settle()
    cluster.settle()

    assert one < two
    assert [("a", two, True), ("b", two, True), ("c", two, True)] == cluster.reloads


def test_reloads_are_asked_of_who_starts(cluster: Cluster) -> None:
    """Who has read its sources before the request reads them again when it joins."""
    number = cluster.ledger.request_reload(ACTOR)
    cluster.add("early", reloads=number - 1)
    cluster.add("late", reloads=number)
    cluster.settle("early", "late")

    assert [("early", number, False)] == cluster.reloads


def test_questions_are_answered(cluster: Cluster) -> None:
    """A question to one node is answered by that one."""
    question = cluster.ledger.ask("b", "threads")
    cluster.settle()

    found = cluster.ledger.question(question)
    assert found is not None
    assert {"by": "b"} == found.answer


def test_a_vote_that_was_lost_is_given_again(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the ledger fails between loading and voting, loading is not done again."""
    number = cluster.deploy("crm", "1")
    staged: list[int] = []
    stage = Follower.stage

    def counted(self: Follower, contents: Contents) -> tuple[Failed, ...]:
        staged.append(contents.number)
        return stage(self, contents)

    monkeypatch.setattr(Follower, "stage", counted)
    vote = type(cluster.ledger).vote

    def lost(*_: object) -> None:
        raise OSError("gone")

    monkeypatch.setattr(type(cluster.ledger), "vote", lost)
    with pytest.raises(OSError, match="gone"):
        cluster.nodes["a"].step()
    monkeypatch.setattr(type(cluster.ledger), "vote", vote)
    cluster.settle()

    assert State.ACTIVE == cluster.state(number)
    assert [number] * 3 == staged


def test_contents_that_are_not_known_are_not_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A generation that is pruned between two looks does not empty a node.

    Caught on purpose: taking an unknown generation for an empty one.
    """
    cluster.deploy("crm", "1")
    cluster.settle()
    number = cluster.deploy("crm", "2")
    cluster.settle("a", "b")
    cluster.ledger.leave("c")
    cluster.settle("a", "b")
    contents = type(cluster.ledger).contents
    joined: list[Contents] = []

    def join(_: Follower, contents: Contents) -> tuple[Failed, ...]:
        joined.append(contents)
        return ()

    monkeypatch.setattr(Follower, "join", join)
    monkeypatch.setattr(type(cluster.ledger), "contents", lambda *_: None)
    for _ in range(3):
        cluster.nodes["c"].step()
    assert [] == joined

    monkeypatch.undo()
    monkeypatch.setattr(type(cluster.ledger), "contents", contents)
    cluster.settle()
    assert number == cluster.followers["c"].number


def test_no_reload_while_something_is_staged(cluster: Cluster) -> None:
    """What was voted on is what is switched; the reload comes after the decision."""
    cluster.deploy("crm", "1")
    cluster.settle("a", "b")
    cluster.ledger.request_reload(ACTOR)
    cluster.settle("a", "b")
    assert [] == cluster.reloads

    cluster.settle()
    assert {"a", "b", "c"} == {name for name, _, _ in cluster.reloads}


def test_who_is_cut_off_lets_go_in_the_end(cluster: Cluster) -> None:
    """Without a decision in all its time, nothing stays staged; it follows later."""
    number = cluster.deploy("crm", "1")
    cluster.settle("a")
    cluster.nodes["a"].be_cut_off()
    assert number == cluster.followers["a"].staged

    cluster.now += TIMEOUT + 1
    cluster.nodes["a"].be_cut_off()
    assert {"a": None} == {"a": cluster.followers["a"].staged}

    cluster.now -= TIMEOUT + 1
    cluster.settle()
    assert {"a": number, "b": number, "c": number} == cluster.served()


@pytest.mark.parametrize("seed", range(60))
def test_whatever_happens_in_whatever_order(tmp_path: Path, seed: int) -> None:
    """Nodes come, die and fail in any order; none serves what was not active.

    At most one generation is active; no node goes back to an older one; and when
    nothing more happens, all nodes serve the active one.
    """
    choose = random.Random(seed)
    cluster = Cluster(tmp_path)
    for name in ("a", "b", "c"):
        cluster.add(name)
    for count in range(60):
        happen(cluster, choose, str(count))
        check(cluster)
    for follower in cluster.followers.values():
        follower.broken.clear()
    cluster.ledger.request_reload(ACTOR)
    for _ in range(6):
        cluster.now += 5
        cluster.settle()
    check(cluster)
    active = cluster.ledger.observe("").active
    assert {active} == set(cluster.served().values())
    cluster.ledger.close()


def happen(cluster: Cluster, choose: random.Random, text: str) -> None:
    """Let one thing happen; most often, that a node takes a step."""
    event = choose.randrange(12)
    name = choose.choice(sorted(cluster.nodes))
    if event == 0:
        cluster.deploy(f"p{choose.randrange(3)}", text)
    elif event == 1 and len(cluster.nodes) > 1:
        cluster.kill(name)
    elif event == 2 and len(cluster.nodes) < 5:
        cluster.add(f"n{len(cluster.followers)}")
    elif event == 3:
        cluster.followers[name].broken = {f"p{choose.randrange(3)}"}
    elif event == 4:
        cluster.now += choose.random() * 5
    else:
        cluster.nodes[name].step()


def check(cluster: Cluster) -> None:
    """Fail where one of the promises does not hold at this moment."""
    records = cluster.ledger.generations(limit=1000)
    active = [one.number for one in records if one.state is State.ACTIVE]
    was_active = {one.number for one in records if one.state is State.RETIRED}
    assert len(active) <= 1
    for follower in cluster.followers.values():
        assert set(follower.served) <= {0, *active, *was_active}
        assert sorted(follower.served) == follower.served


def test_the_ledger_was_away_for_longer_than_a_lease(cluster: Cluster) -> None:
    """All leases have ended then: who comes back says so before it looks at others.

    Without that, it failed what was staging, and named itself.
    """
    number = cluster.deploy("shop", "1")
    cluster.nodes["a"].step()
    cluster.now += LEASE + 5
    for name in ("b", "c"):
        assert cluster.ledger.beat(name, lease=LEASE)
    for _ in range(3):
        cluster.nodes["a"].step()
        cluster.now += 0.3
    assert State.STAGING == cluster.state(number)

    cluster.settle()
    assert State.ACTIVE == cluster.state(number)


def test_a_sign_of_life_comes_before_a_load(cluster: Cluster) -> None:
    """Loading may take long, and be followed by another: each begins with a beat.

    Without that, a node that went from one load to the next was taken for silent.
    """
    leases: dict[str, float] = {}
    follower = cluster.followers["a"]
    stage = follower.stage

    def look(contents: Contents) -> tuple[Failed, ...]:
        found = cluster.ledger.nodes()
        leases.update({one.id: one.lease_until - cluster.now for one in found})
        return stage(contents)

    follower.stage = look  # type: ignore[method-assign]
    cluster.now += LEASE - 1
    cluster.deploy("crm", "1")
    cluster.nodes["a"].step()

    assert {"a": LEASE, "b": 1.0, "c": 1.0} == leases


def test_a_sign_of_life_that_is_not_written_is_given_again(cluster: Cluster) -> None:
    """Where the ledger goes away in between, the next step gives it."""
    cluster.now += LEASE - 1
    node, beat = cluster.nodes["a"], cluster.ledger.beat

    def away(*_: object, **__: object) -> bool:
        raise LedgerError("sqlite://", "it is away")

    cluster.ledger.beat = away  # type: ignore[method-assign]
    with pytest.raises(LedgerError):
        node.step()
    cluster.ledger.beat = beat  # type: ignore[method-assign]
    node.step()
    leases = {one.id: one.lease_until - cluster.now for one in cluster.ledger.nodes()}

    assert LEASE == leases["a"]


def test_many_voters_take_turns(cluster: Cluster) -> None:
    """Of more nodes each looks less often for what can be decided."""
    for count in range(2 * CROWD):
        cluster.add(f"n{count}")
    cluster.settle()
    cluster.deploy("crm", "1")
    names = [name for name in cluster.nodes if name != "c"]
    cluster.settle(*names)
    pauses = {cluster.nodes[name].step() for name in names}

    assert {LOOK * (2 * CROWD + 3) / CROWD} == pauses


def test_who_is_behind_alone_gets_out_of_it(cluster: Cluster) -> None:
    """What is active loads nowhere any more: a deployment that loads is voted on.

    Mutants: nobody is called up; what says that it is behind stays.
    """
    cluster.deploy("crm", "1")
    cluster.settle()
    for name in "abc":
        cluster.kill(name)
    for name in "de":
        cluster.add(name)
        cluster.followers[name].broken.add("crm")
    cluster.settle()
    assert {"d": 0, "e": 0} == cluster.served()

    failed = cluster.deploy("erp", "1")
    cluster.settle()
    assert "does not load here" in cluster.reason(failed)
    for name in "de":
        cluster.followers[name].broken.clear()
    number = cluster.deploy("crm", "2")
    cluster.settle()

    assert State.ACTIVE == cluster.state(number)
    assert {"d": number, "e": number} == cluster.served()
    assert ["", ""] == [cluster.nodes[name].behind for name in "de"]
    assert {NodeState.READY} == {one.state for one in cluster.ledger.nodes()}
