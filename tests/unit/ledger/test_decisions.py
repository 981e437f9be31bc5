"""What becomes of proposals and ballots, by the rules alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contract.ledger.scene import ALICE, entry
from pointsman.cluster import Change, Contents, Entry, Generation, Proposal, State, Vote
from pointsman.ledger import decisions
from pointsman.ledger.decisions import DECIDED, WAITING, applied, bounded, verdict

NOW = 1000.0

names = st.sampled_from("abcd")
contents_of = st.sampled_from("123")
entries = st.builds(entry, names, contents_of)
entry_maps = st.lists(entries, max_size=4).map(
    lambda found: {one.package: one for one in found}
)
changes = st.dictionaries(names, st.none() | contents_of, min_size=1, max_size=3).map(
    lambda wanted: tuple(
        Change(name, entry(name, text) if text else None)
        for name, text in wanted.items()
    )
)
votes = st.builds(
    Vote,
    node=st.uuids().map(str),
    loaded=st.none() | st.booleans(),
    left=st.sampled_from(["", "", "gone"]),
)
ballots = st.lists(votes, max_size=6)
moments = st.floats(0, 3000)


def decided(ballot: list[Vote], **other: object) -> decisions.Verdict:
    """Decide a ballot whose leases are held, before its deadline."""
    values: dict[str, object] = {
        "leases": {vote.node: NOW + 10 for vote in ballot},
        "now": NOW,
        "deadline": NOW + 60,
        **other,
    }
    return verdict(ballot, values.pop("leases"), **values)  # type: ignore[arg-type]


# BALLOTS


@given(ballots)
def test_active_needs_everybody_and_somebody(ballot: list[Vote]) -> None:
    """It is active exactly when all that count have loaded it, and there is one."""
    counting = [vote for vote in ballot if not vote.left]
    full = bool(counting) and all(vote.loaded for vote in counting)
    refused = any(vote.loaded is False for vote in ballot)

    assert (full and not refused) is (decided(ballot) is DECIDED)


@given(ballot=ballots, now=moments, late=st.booleans())
def test_a_refusal_always_fails(ballot: list[Vote], now: float, *, late: bool) -> None:
    """One failed vote fails it, whatever the time, and names the node."""
    ballot.append(Vote("n9", loaded=False, reason="SyntaxError"))
    found = decided(ballot, now=now, overdue=late)

    assert State.FAILED is found.state
    assert "n9 cannot load it: SyntaxError" in found.reason


@given(ballots, moments)
def test_votes_only_move_forward(ballot: list[Vote], now: float) -> None:
    """What is decided stays so when time goes on and the others leave."""
    before = decided(ballot, now=now)
    if before is WAITING:
        return
    after = decided(ballot, now=now + 1, overdue=before.state is State.FAILED)

    leases_hold = now + 1 < NOW + 10
    if before.state is State.FAILED or leases_hold:
        assert before.state is after.state


@given(ballots)
def test_overdue_ends_it(ballot: list[Vote]) -> None:
    """After the deadline nothing waits any more."""
    assert WAITING is not decided(ballot, overdue=True)
    assert WAITING is not decided(ballot, deadline=NOW - 1)


def test_silence_names_the_node() -> None:
    """A lease that has ended fails it, unless the node has left; it is named."""
    ballot = [Vote("n1", loaded=True), Vote("n2")]
    found = decided(ballot, leases={"n1": NOW + 1, "n2": NOW})
    assert "n2, whose lease has ended" in found.reason
    assert State.FAILED is found.state
    assert State.FAILED is decided(ballot, leases={"n1": NOW + 1}).state

    gone = [ballot[0], Vote("n2", left="gone")]
    assert DECIDED is decided(gone, leases={"n1": NOW + 1})


def test_lateness_names_the_missing() -> None:
    """After the deadline, those that have not voted are named."""
    ballot = [Vote("n1", loaded=True), Vote("n2"), Vote("n3", left="gone")]

    assert (
        "not decided in time: n2 did not vote" == decided(ballot, overdue=True).reason
    )
    assert "no node could vote" in decided(ballot[2:], overdue=True).reason
    assert "it did not say why" in decided([Vote("n1", loaded=False)]).reason


@given(moments, st.floats(0.1, 100), moments)
def test_nothing_lasts_longer_than_its_length(
    until: float, length: float, now: float
) -> None:
    """An end is cut to one length from now, and is never put off."""
    assert bounded(until, length, now) <= until
    assert bounded(until, length, now) <= now + length
    assert bounded(until, length, now) in (until, now + length)


# PROPOSALS


def generation(number: int, state: State = State.QUEUED, **other: object) -> Generation:
    """Make the record of a generation on its way."""
    return Generation(number, state, ALICE, "deploy", 0, **other)  # type: ignore[arg-type]


@given(entry_maps, changes)
def test_nothing_new_is_what_changes_nothing(
    active: dict[str, Entry], wanted: tuple[Change, ...]
) -> None:
    """A proposal is nothing new exactly when applying it makes the same contents."""
    base = Contents(5, active)
    after = applied(base, 5, wanted)

    expected = 5 if after == base else None
    assert expected == decisions.already(Proposal(ALICE, "deploy", wanted), base, ())


@given(entry_maps, st.lists(changes, max_size=3), changes)
def test_nothing_new_against_the_queue(
    active: dict[str, Entry],
    queue: list[tuple[Change, ...]],
    wanted: tuple[Change, ...],
) -> None:
    """With others on their way, what they will make counts, and one of them is told."""
    coming = [generation(6 + n, changes=one) for n, one in enumerate(queue)]
    projected = base = Contents(5, active)
    for one in coming:
        projected = applied(projected, one.number, one.changes)
    found = decisions.already(Proposal(ALICE, "deploy", wanted), base, coming)

    after = applied(projected, projected.number, wanted)
    assert (found is not None) is (after == projected)
    assert found is None or 5 <= found < 6 + len(coming)


@given(entry_maps, entry_maps, changes)
def test_what_does_not_conflict_can_be_applied(
    base: dict[str, Entry], now: dict[str, Entry], wanted: tuple[Change, ...]
) -> None:
    """Without a conflict, what was done meanwhile to those packages is not undone."""
    clash = decisions.conflict(wanted, base, Contents(7, now))
    touched = [change.package for change in wanted]
    lost = [
        change.package
        for change in wanted
        if base.get(change.package) != now.get(change.package)
        and now.get(change.package) != change.entry
    ]

    assert bool(lost) is bool(clash)
    assert not clash or any(f"{name} " in clash for name in touched)


@given(entry_maps, changes)
def test_nothing_conflicts_with_its_base(
    base: dict[str, Entry], wanted: tuple[Change, ...]
) -> None:
    """What has not changed since is no conflict, whatever the rest did."""
    assert "" == decisions.conflict(wanted, base, Contents(7, base))


def test_another_source_is_another_package() -> None:
    """The same bytes from another kind of source are a clash and a conflict."""
    pushed = entry("a", "1")
    archived = entry("a", "1", source="archives:share/a.sar", file="a.sar")

    assert not decisions.same(pushed, archived)
    assert decisions.same(archived, entry("a", "1", source="archives:other/b.sar"))
    assert "a.sar (archives:share/a.sar)" in decisions.clash(
        Change("a", archived), {"a": pushed}
    )
    assert "" == decisions.clash(Change("a"), {"a": pushed})
    clash = decisions.conflict([Change("a", archived)], {}, Contents(7, {"a": pushed}))
    assert "a is now a.py (push)" in clash


def test_missing_packages() -> None:
    """What is neither there nor on its way cannot be taken away."""
    removal = Proposal(ALICE, "undeploy", (Change("a"),))
    added = generation(6, changes=(Change("a", entry("a", "1")),))
    removed = generation(7, changes=(Change("a"),))

    assert ("a", "there is no package a to take away") == (
        decisions.missing(removal, {}, ())
    )
    name, told = decisions.missing(removal, {}, (added,)) or ("", "")
    assert ("a", True) == (name, "on its way in generation 6" in told)
    assert None is decisions.missing(removal, {}, (added, removed))
    assert None is decisions.missing(removal, {"a": entry("a", "1")}, ())


def test_stopping_wins_over_starting() -> None:
    """A service that shall do both is stopped."""
    one = frozenset({"a.one"})
    assert one == applied(Contents(1), 2, stop=one, start=one).stopped
    assert frozenset() == applied(Contents(1, stopped=one), 2, start=one).stopped


# PRUNING


@given(
    st.lists(st.sampled_from(list(State)), max_size=12),
    st.integers(2, 8),
)
def test_what_serves_is_always_kept(found: list[State], keep: int) -> None:
    """The newest, what is active, what was before it, and all that comes."""
    states = dict(enumerate(found, 1))
    kept = decisions.kept(states, keep)

    assert set(sorted(states)[-keep:]) <= kept
    for number, state in states.items():
        if state in (State.ACTIVE, State.STAGING, State.QUEUED):
            assert number in kept
    retired = [number for number, state in states.items() if state is State.RETIRED]
    assert not retired or retired[-1] in kept


@pytest.mark.parametrize("keep", [1, 5])
def test_without_generations_nothing_is_kept(keep: int) -> None:
    """An empty ledger has nothing to keep."""
    assert frozenset() == decisions.kept({}, keep)
