"""Proposals, and what became of them.  Effects."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import bindparam, insert, select, update

from pointsman.cluster import Contents, Proposed, State
from pointsman.errors import Refused
from pointsman.ledger import decisions
from pointsman.ledger.ballots import Ballots
from pointsman.ledger.directories import keep_claims, keep_sightings
from pointsman.ledger.records import (
    coming_generations,
    contents_at,
    entries_at,
    one_generation,
    page_of_generations,
    staged_on,
    state_of,
    stopped_at,
)
from pointsman.ledger.schema import (
    artifact,
    change,
    cluster,
    generation,
    service_change,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from sqlalchemy import Connection, Row

    from pointsman.cluster import Actor, Change, Entry, Generation, Proposal

#: How many contents are remembered: what is active, what comes, what was before.
_REMEMBERED: Final = 4

#: How many packages an event names.
_NAMED: Final = 10

_NEWEST: Final = 2**31 - 1

_STORED: Final = select(artifact.c.digest).where(
    artifact.c.digest.in_(bindparam("digests", expanding=True))
)
_INSERT: Final = insert(generation).inline()
_CLUSTER: Final = select(cluster).where(cluster.c.id == 1)
_COUNT: Final = (
    update(cluster).where(cluster.c.id == 1).values(newest=bindparam("number"))
)
_CHANGE: Final = insert(change).inline()
_SERVICE: Final = insert(service_change).inline()
_WERE_ACTIVE: Final = (
    select(generation.c.number)
    .where(generation.c.state.in_([State.ACTIVE, State.RETIRED]))
    .where(generation.c.number < bindparam("before"))
    .order_by(generation.c.number.desc())
)


class Generations(Ballots):
    """The one line of generations."""

    def __init__(self, *arguments: Any) -> None:
        """See `Part`."""
        super().__init__(*arguments)
        # Contents never change, so those of the last generations are remembered:
        # the next ones are they and a few changes.  The lock guards the dictionary.
        self._remembered: OrderedDict[int, Contents] = OrderedDict()
        self._remembering = threading.Lock()

    # PROPOSALS

    def propose(self, proposal: Proposal, *, timeout: float) -> Proposed:
        """See `interfaces.Ledger.propose`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            _require_unlocked(seen, proposal.actor)
            _require_match(seen.active, proposal.if_match)
            names = [one.package for one in proposal.changes]
            entries = entries_at(connection, seen.active, names)
            services = proposal.stop or proposal.start
            is_stopped = stopped_at(connection, seen.active) if services else ()
            active = Contents(seen.active, entries, frozenset(is_stopped))
            coming = () if seen.staging is None else coming_generations(connection)
            _require_possible(connection, proposal, entries, coming)
            number = decisions.already(proposal, active, coming)
            result = Proposed(number or 0, unchanged=True)
            if number is None:
                result = Proposed(seen.newest + 1)
                self._queue(connection, proposal, result.number, seen.active, timeout)
            keep_sightings(connection, proposal.sightings)
            keep_claims(connection, proposal.claims, result.number)
            self._note_proposal(connection, proposal, result)
            if number is None and seen.staging is None:
                self._stage_next(connection, seen.active)
            return result

    def _queue(
        self,
        connection: Connection,
        proposal: Proposal,
        number: int,
        active: int,
        timeout: float,
    ) -> None:
        values = {
            "number": number,
            "state": State.QUEUED,
            "actor": proposal.actor.name,
            "address": proposal.actor.address,
            "what": proposal.what,
            "note": proposal.note,
            "base": active,
            "timeout": timeout,
            "proposed_at": self._database.now(connection),
        }
        connection.execute(_INSERT, values)
        connection.execute(_COUNT, {"number": number})
        changes = {one.package: _change_row(number, one) for one in proposal.changes}
        if changes:
            connection.execute(_CHANGE, list(changes.values()))
        services = [
            {"generation": number, "service": service, "stopped": stops}
            for stops, names in (
                (True, proposal.stop),
                (False, proposal.start - proposal.stop),
            )
            for service in sorted(names)
        ]
        if services:
            connection.execute(_SERVICE, services)

    def _note_proposal(
        self, connection: Connection, proposal: Proposal, result: Proposed
    ) -> None:
        subjects = [one.package for one in proposal.changes]
        subjects += sorted(proposal.stop | proposal.start)
        more = len(subjects) - _NAMED
        told = ", ".join(subjects[:_NAMED]) + (f" and {more} more" if more > 0 else "")
        same = "nothing new" if result.unchanged else ""
        self._note(
            connection,
            proposal.actor,
            proposal.what,
            told,
            generation=result.number or None,
            detail=": ".join(filter(None, (same, proposal.note))),
        )

    # DECISIONS

    def advance(
        self, gone: Collection[str] = (), *, overdue: int | None = None
    ) -> bool:
        """See `interfaces.Ledger.advance`."""
        with self._database.writing() as connection:
            return self._decide(connection, gone=gone, overdue=overdue)

    def abort(self, number: int, reason: str) -> bool:
        """See `interfaces.Ledger.abort`."""
        with self._database.writing() as connection:
            seen = self._lock(connection)
            found = state_of(connection, number)
            if found is None or found[0] not in (State.QUEUED, State.STAGING):
                return False
            self._fail(connection, number, reason)
            if seen.staging == number:
                self._end_staging(connection)
                self._stage_next(connection, seen.active)
            return True

    def _lost_generations(self) -> Iterator[str]:
        """Tell which generations the cluster row names and that are not there."""
        with self._database.reading() as connection:
            row = connection.execute(_CLUSTER).one()
            for word, number in (("active", row.active), ("staging", row.staging)):
                state = state_of(connection, number) if number else (State(word), None)
                if state is None or state[0] != word:
                    told = "missing" if state is None else state[0]
                    yield f"generation {number} should be {word}, and is {told}"

    # RECORDS

    def generation(self, number: int) -> Generation | None:
        """See `interfaces.Ledger.generation`."""
        with self._database.reading() as connection:
            return one_generation(connection, number)

    def generations(
        self, *, limit: int = 50, before: int | None = None
    ) -> tuple[Generation, ...]:
        """See `interfaces.Ledger.generations`."""
        end = _NEWEST if before is None else before
        with self._database.reading() as connection:
            return page_of_generations(connection, limit, end)

    def was_active(self, before: int) -> tuple[int, ...]:
        """See `interfaces.Ledger.was_active`."""
        with self._database.reading() as connection:
            rows = connection.execute(_WERE_ACTIVE, {"before": before})
            return tuple(rows.scalars())

    def contents(self, number: int) -> Contents | None:
        """See `interfaces.Ledger.contents`."""
        with self._database.reading() as connection:
            found = state_of(connection, number)
            if found is None or found[1] is None:
                return None
            contents = self._recall(number) or self._read(connection, number, *found)
        self._remember(contents)
        return contents

    def _read(
        self, connection: Connection, number: int, state: State, parent: int | None
    ) -> Contents:
        base = self._recall(parent)
        if base is None:
            if state in (State.ACTIVE, State.RETIRED):
                return contents_at(connection, number)
            base = contents_at(connection, parent or 0)
            self._remember(base)
        return staged_on(connection, number, base)

    def _recall(self, number: int | None) -> Contents | None:
        with self._remembering:
            return self._remembered.get(number or 0)

    def _remember(self, contents: Contents) -> None:
        with self._remembering:
            self._remembered[contents.number] = contents
            self._remembered.move_to_end(contents.number)
            while len(self._remembered) > _REMEMBERED:
                self._remembered.popitem(last=False)


def _change_row(number: int, one: Change) -> dict[str, object]:
    entry = one.entry
    return {
        "generation": number,
        "package": one.package,
        "digest": entry.digest if entry else None,
        "kind": entry.kind if entry else "",
        "file": entry.file if entry else "",
        "source": entry.source if entry else "",
        "version": entry.version if entry else "",
        "size": entry.size if entry else 0,
    }


# WHAT IS REFUSED


def _require_unlocked(seen: Row[Any], actor: Actor) -> None:
    if seen.lock_name in (None, actor.name):
        return
    why = f": {seen.lock_reason}" if seen.lock_reason else ""
    detail = f"{seen.lock_name} has locked deployments{why}; ask there, or unlock them"
    raise Refused(423, "Deployments are locked", detail)


def _require_match(active: int, if_match: int | None) -> None:
    if if_match not in (None, active):
        detail = (
            f"generation {active} is active, not {if_match}; look at what has changed, "
            "and send it again"
        )
        raise Refused(412, "Another generation is active", detail)


def _require_possible(
    connection: Connection,
    proposal: Proposal,
    entries: Mapping[str, Entry],
    coming: tuple[Generation, ...],
) -> None:
    # Who goes back asks for what the cluster had, from whatever source it was then.
    new = () if proposal.what == "rollback" else proposal.changes
    for one in new:
        clash = decisions.clash(one, entries)
        if clash:
            title = "The package is from another kind of source"
            raise Refused(409, title, clash, packages=[one.package])
    absent = decisions.missing(proposal, entries, coming)
    if absent:
        name, detail = absent
        raise Refused(409, "There is no such package", detail, packages=[name])
    _require_stored(connection, proposal.changes)


def _require_stored(connection: Connection, changes: Collection[Change]) -> None:
    wanted = {one.entry.digest: one.package for one in changes if one.entry}
    if not wanted:
        return
    rows = connection.execute(_STORED, {"digests": list(wanted)}).scalars()
    for digest in sorted(set(wanted) - {str(found) for found in rows}):
        detail = (
            f"the artifact {digest} of {wanted[digest]} is not stored in the ledger "
            "(any more); send its file again"
        )
        title = "An artifact is not stored"
        named = [c.package for c in changes if c.entry and c.entry.digest == digest]
        raise Refused(409, title, detail, packages=named)
