"""What has to be true after every step, however things went before it.

Looks at each commit and at each switch of a node, from outside: by what the tables
say, never by what the product believes.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from pointsman.cluster import NodeState, State
from pointsman.ledger import schema

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from simulation.database.tables import Changes
    from simulation.processes import Process
    from simulation.server import Server


class Broken(AssertionError):
    """A promise is not kept."""


#: What may become of a generation; None is that it is not there.
_WAYS: Final[dict[State | None, set[State | None]]] = {
    None: {State.QUEUED},
    State.QUEUED: {State.STAGING, State.FAILED, State.ACTIVE},
    State.STAGING: {State.ACTIVE, State.FAILED},
    State.ACTIVE: {State.RETIRED},
    State.RETIRED: {None},
    State.FAILED: {None},
}


@dataclass(slots=True)
class Served:
    """What a generation that was active has to be, and when it became that."""

    packages: dict[str, str]
    stopped: frozenset[str]
    at: float
    switched: list[float] = field(default_factory=list)  # when its nodes did


class Promises:
    """Watches one cluster."""

    def __init__(
        self,
        server: Server,
        absent_after: float,
        serving: Callable[[str], int | None],
    ) -> None:
        """Watch; ``serving`` tells what a node serves, None of one that is gone."""
        self._server = server
        self._serving = serving
        self._absent_after = absent_after
        self.states: dict[int, State] = {}
        self.were_active: dict[int, Served] = {0: Served({}, frozenset(), 0.0)}
        self.failed: set[int] = set()
        self.acknowledged: dict[int, float] = {}
        self.active = 0
        self._overlooked: set[str] = set()  # absent when the ballot was opened
        self.steps: Counter[str] = Counter()
        server.tables.watchers.append(self._committed)

    # AFTER EACH COMMIT

    def _committed(self, changes: Changes) -> None:
        self.steps["commits"] += 1
        moved = False
        for record, before, after in changes:
            if record.table.table is schema.generation:
                moved |= self._move(record.key[0], before, after)
            elif record.table.table is schema.cluster:
                moved = True
            elif record.table.table is schema.node and after is not None:
                self._said(record.key[0], before, after)
        if moved:
            self._one_line()

    def _said(self, name: str, before: Any, after: Any) -> None:
        """A node that says anew what it serves, or that it is ready, serves that."""
        says = after["generation"], after["state"]
        if before is not None and says == (before["generation"], before["state"]):
            return
        is_told = says[1] == NodeState.READY or (
            before is not None and says[0] != before["generation"]
        )
        serves = self._serving(name)
        if is_told and serves is not None and serves != says[0]:
            raise Broken(f"{name} says that it serves {says[0]}, and serves {serves}")

    def _move(self, number: int, before: Any, after: Any) -> bool:
        was = None if before is None else State(before["state"])
        now = None if after is None else State(after["state"])
        if was is now:
            return False
        first = was is None and now in (State.STAGING, State.FAILED)
        if now not in _WAYS[was] and not first:
            raise Broken(f"generation {number} went from {was} to {now}")
        self._note(number, now)
        return True

    def _note(self, number: int, now: State | None) -> None:
        if now is None:
            self.states.pop(number)
            return
        self.states[number] = now
        self.steps[str(now)] += 1
        if now is State.FAILED:
            self.failed.add(number)
        elif now is State.STAGING:
            self._overlooked = self._absent(number)
        elif now is State.ACTIVE:
            self._activated(number)

    def _one_line(self) -> None:
        """One is active, one at most is staging, and the cluster row says which."""
        (row,) = self._server.tables.rows(schema.cluster)
        for word, said in (
            (State.ACTIVE, row["active"]),
            (State.STAGING, row["staging"]),
        ):
            found = [n for n, state in self.states.items() if state is word]
            if found != ([said] if said else []):
                raise Broken(f"{found} are {word}, and the cluster row says {said}")

    # DECISIONS

    def _votes(self, number: int) -> dict[str, Any]:
        return {
            row["node"]: row
            for row in self._server.tables.rows(schema.vote)
            if row["generation"] == number
        }

    def votes_told(self, number: int) -> str:
        """Return who voted what, for a message."""
        told = {True: "yes", False: "no", None: "nothing"}
        return "; ".join(
            f"{name} says {row['departure'] or told[row['loaded']]}"
            for name, row in self._votes(number).items()
        )

    def _ready(self) -> list[dict[str, Any]]:
        rows = self._server.tables.rows(schema.node)
        return [row for row in rows if row["state"] == NodeState.READY]

    def _absent(self, number: int) -> set[str]:
        """Return who is ready and has no vote; each must have been silent for long."""
        votes = self._votes(number)
        found = {row["id"]: row for row in self._ready() if row["id"] not in votes}
        rows = self._server.tables.rows(schema.generation)
        (now,) = (row["staged_at"] for row in rows if row["number"] == number)
        for name, row in found.items():
            heard = row["lease_until"] - row["lease"]
            # Who was heard of after the ballot was opened enters it by itself.
            if now - self._absent_after < heard <= now:
                raise Broken(f"{name} is ready, and not in the ballot of {number}")
        return set(found)

    def _activated(self, number: int) -> None:
        """Check that all who had to have voted for it, and work out what it serves."""
        if number <= self.active:
            raise Broken(f"{number} became active after {self.active}")
        votes = self._votes(number)
        counting = [row for row in votes.values() if not row["departure"]]
        if not counting or not all(row["loaded"] for row in counting):
            raise Broken(f"{number} became active without the votes of its ballot")
        voters = {row["node"] for row in counting}
        for row in self._ready():
            if row["id"] not in voters | self._overlooked:
                raise Broken(f"{row['id']} is ready, and had no vote on {number}")
        self.were_active[number] = self._contents(number)
        self.active = number

    def _contents(self, number: int) -> Served:
        base = self.were_active[self.active]
        packages, stopped = dict(base.packages), set(base.stopped)
        tables = self._server.tables
        for row in tables.rows(schema.change):
            if row["generation"] == number:
                packages.pop(row["package"], None)
                if row["digest"]:
                    packages[row["package"]] = row["digest"]
        for row in tables.rows(schema.service_change):
            if row["generation"] == number:
                act = stopped.add if row["stopped"] else stopped.discard
                act(row["service"])
        return Served(packages, frozenset(stopped), self._server.timetable.now)

    # WHAT NODES SERVE

    def serves(
        self,
        process: Process,
        number: int,
        packages: Mapping[str, str],
        stopped: frozenset[str],
    ) -> None:
        """Check what a node has begun to serve, at the moment when it does."""
        try:
            self._serves(process, number, packages, stopped)
        except Broken as error:
            self._server.timetable.fail(error)

    def _serves(
        self,
        process: Process,
        number: int,
        packages: Mapping[str, str],
        stopped: frozenset[str],
    ) -> None:
        self.steps["switches"] += 1
        expected = self.were_active.get(number)
        if expected is None:
            state = self.states.get(number)
            raise Broken(f"{process.name} serves {number}, which is {state}")
        if (packages, stopped) != (expected.packages, expected.stopped):
            raise Broken(f"{process.name} serves another {number} than was decided")
        if number < process.newest:
            raise Broken(f"{process.name} serves {number} after {process.newest}")
        process.newest = number
        expected.switched.append(self._server.timetable.now)

    # WHAT PEOPLE WERE TOLD

    def told(self, number: int, state: State) -> None:
        """Check what a deployment was answered with."""
        self.steps[f"told {state}"] += 1
        if state in (State.ACTIVE, State.RETIRED):
            self.acknowledged[number] = self._server.timetable.now
            if number not in self.were_active:
                raise Broken(f"{number} was told to be active, and never was")
        elif state is State.FAILED and number in self.were_active:
            raise Broken(f"{number} was told to have failed, and was active")
