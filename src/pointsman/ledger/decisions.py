"""What becomes of proposals and ballots, from values alone.  Decisions.

Generations are ordered by number, never by time: the clock of the ledger may be set.
Times only end things (a lease, a staging), and whoever reads one that is further
ahead than its own length cuts it down (`bounded`).  So a clock that was set back
an hour makes nothing last longer than twice its length; and nothing ends early: a
lease that lies too far ahead was *not* seen to end, its node may be well and is
given one whole length to say so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.cluster import Contents, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pointsman.cluster import Change, Entry, Generation, Proposal, Vote

Entries = "Mapping[str, Entry]"


def bounded(until: float, length: float, now: float) -> float:
    """Return when something of ``length`` seconds ends that should end at ``until``."""
    return min(until, now + length)


def is_silent(until: float, length: float, now: float) -> bool:
    """Tell whether a sign of life that was due did not come: half a lease is over."""
    return bounded(until, length, now) - now < length / 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a ballot has come to: *staging* goes on, *active*, or *failed*."""

    state: State
    reason: str = ""


WAITING = Verdict(State.STAGING)
DESERTED = Verdict(State.STAGING, "nobody is in the ballot")  # still, or any more
DECIDED = Verdict(State.ACTIVE)


def verdict(
    votes: Iterable[Vote],
    leases: Mapping[str, float],
    *,
    now: float,
    deadline: float,
    overdue: bool = False,
) -> Verdict:
    """Decide a ballot.

    ``leases`` tells until when the nodes of the ledger hold theirs; ``overdue``,
    that the deadline has passed whatever ``now`` is.  A failed vote counts before
    a lease that ended, that before a full ballot, and that before the deadline.
    """
    votes = tuple(votes)
    refused = [vote for vote in votes if vote.loaded is False]
    if refused:
        return Verdict(State.FAILED, "; ".join(map(_refusal, refused)))
    counting = [vote for vote in votes if not vote.left]
    silent = [v.node for v in counting if leases.get(v.node, now) <= now]
    if silent:
        return Verdict(State.FAILED, _silence(silent))
    missing = [vote.node for vote in counting if vote.loaded is None]
    if counting and not missing:
        return DECIDED
    if overdue or now > deadline:
        return Verdict(State.FAILED, _lateness(missing))
    return WAITING if counting else DESERTED


def _refusal(vote: Vote) -> str:
    return f"{vote.node} cannot load it: {vote.reason or 'it did not say why'}"


def _silence(nodes: Sequence[str]) -> str:
    return (
        f"no sign of life from {', '.join(nodes)}, whose lease has ended; nothing "
        "proves that it is dead, so it may be serving: look at it, then deploy again"
    )


def _lateness(missing: Sequence[str]) -> str:
    if not missing:
        return (
            "no node could vote on it before its time was over: `pointsman nodes` "
            "tells why; with --ledger, a command loads it and votes itself"
        )
    return f"not decided in time: {', '.join(missing)} did not vote"


# PROPOSALS


def same(one: Entry | None, other: Entry | None) -> bool:
    """Tell whether both are one artifact from one kind of source, or both nothing."""
    if one is None or other is None:
        return one is other
    return (one.digest, one.source_kind) == (other.digest, other.source_kind)


def told(entry: Entry) -> str:
    """Return where an entry is from, for messages."""
    return f"{entry.file} ({entry.source})"


def clash(change: Change, active: Mapping[str, Entry]) -> str:
    """Say why a package may not be replaced: it is from another kind of source."""
    current = active.get(change.package)
    if change.entry is None or current is None:
        return ""
    if change.entry.source_kind == current.source_kind:
        return ""
    return (
        f"{change.package} is there already, from {told(current)}, and "
        f"{told(change.entry)} is another kind of source; undeploy {change.package} "
        "first, or give one of the two another name"
    )


def missing(
    proposal: Proposal, active: Mapping[str, Entry], coming: Sequence[Generation]
) -> tuple[str, str] | None:
    """Return a package that shall be taken away and is not there, and a sentence."""
    for change in proposal.changes:
        name = change.package
        if change.entry is not None or name in active:
            continue
        last = _last(name, coming)
        if last is None:
            return name, f"there is no package {name} to take away"
        if last[1].entry is not None:
            return name, (
                f"{name} is on its way in generation {last[0]}, and not there yet; "
                "wait until that is decided"
            )
    return None


def _last(package: str, coming: Sequence[Generation]) -> tuple[int, Change] | None:
    """Return the last generation on its way that touches ``package``."""
    for one in reversed(coming):
        for change in one.changes:
            if change.package == package:
                return one.number, change
    return None


def already(
    proposal: Proposal, active: Contents, coming: Sequence[Generation]
) -> int | None:
    """Return the generation that has all of a proposal, if one has.

    What is on its way counts before what is active: going back to the active
    artifact while another is being staged is a change.  ``coming`` is in order.
    Before the first generation there is none that could have it.
    """
    numbers = [active.number]
    for change in proposal.changes:
        number, has = active.number, active.entries.get(change.package)
        last = _last(change.package, coming)
        if last is not None:
            number, has = last[0], last[1].entry
        if not same(change.entry, has):
            return None
        numbers.append(number)
    for service in proposal.stop | proposal.start:
        number, is_stopped = _stopped(service, active, coming)
        if is_stopped is not (service in proposal.stop):
            return None
        numbers.append(number)
    return max(numbers) or None


def _stopped(
    service: str, active: Contents, coming: Sequence[Generation]
) -> tuple[int, bool]:
    for one in reversed(coming):
        if service in one.stop or service in one.start:
            return one.number, service in one.stop
    return active.number, service in active.stopped


def conflict(
    changes: Iterable[Change],
    base: Mapping[str, Entry],
    active: Contents,
) -> str:
    """Say why a queued proposal cannot be put on the active generation.

    It cannot when a package that it touches is not any more what it was in its
    ``base``, unless that is just what the proposal wants.
    """
    for change in changes:
        was, current = base.get(change.package), active.entries.get(change.package)
        if same(was, current) or same(current, change.entry):
            continue
        became = "was taken away" if current is None else f"is now {told(current)}"
        return (
            f"{change.package} {became} since this was proposed (generation "
            f"{active.number}); look at it, and deploy again if it still shall be so"
        )
    return ""


def applied(
    base: Contents,
    number: int,
    changes: Iterable[Change] = (),
    stop: Iterable[str] = (),
    start: Iterable[str] = (),
) -> Contents:
    """Return what a generation serves that makes these changes to ``base``."""
    entries = dict(base.entries)
    for change in changes:
        if change.entry is None:
            entries.pop(change.package, None)
        else:
            entries[change.package] = change.entry
    stopped = base.stopped.difference(start).union(stop)
    return Contents(number, entries, stopped)


# PRUNING


def kept(states: Mapping[int, State], keep: int) -> frozenset[int]:
    """Return the generations that stay: the newest, what serves, what comes.

    ``states`` has all of them.  The active one and the one before it stay always.
    """
    newest = sorted(states, reverse=True)
    ways = (State.ACTIVE, State.STAGING, State.QUEUED)
    previous = [n for n in newest if states[n] is State.RETIRED][:1]
    return frozenset(
        [*newest[:keep], *previous, *(n for n in newest if states[n] in ways)]
    )
