"""From what is wanted to what one process serves, whole or not at all.  Engine.

`Switching.step` follows the sources of this machine: what fails is taken back, and
the rest is switched.  `stage` and `switch` are the two halves of what all nodes do
together: all of it is loaded beside what serves, or nothing; then it is switched,
or discarded.  One thread at a time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pointsman import planning
from pointsman.namespace import facade, registries
from pointsman.namespace.space import move
from pointsman.preparation import mounts_of
from pointsman.round import Round, outcomes
from pointsman.traffic import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pointsman.interfaces import Runtime
    from pointsman.model import Outcome, Package, Scan
    from pointsman.namespace.space import Namespace
    from pointsman.preparation import Preparation
    from pointsman.rehearsal.client import Rehearsal
    from pointsman.retirement import Retirement
    from pointsman.round import Refusal
    from pointsman.runtime.inprocess import Loaded
    from pointsman.traffic import Traffic

_log = logging.getLogger(__name__)


class Switching:
    """What one process serves, and how it comes to serve something else.

    From one thread at a time.  ``number`` is the ledger's generation that serves,
    0 if none of them does; ``switches`` counts how often the table was replaced.
    """

    def __init__(
        self,
        *,
        runtime: Runtime[Loaded],
        traffic: Traffic,
        preparation: Preparation,
        retirement: Retirement,
        rehearsal: Rehearsal | None,
        keep_mounts: Callable[[Mapping[str, str]], None],
    ) -> None:
        """Take the collaborators.

        ``keep_mounts`` is told who has which service name and path after each
        switch, so that the first keeps it over a restart.
        """
        self._runtime = runtime
        self._traffic = traffic
        self._preparation = preparation
        self._retirement = retirement
        self._rehearsal = rehearsal
        self._keep_mounts = keep_mounts
        self._has_kept_mounts = False  # then the ledger's may be of other packages
        self._round: Round | None = None  # staged, and neither switched nor discarded
        self.switches = 0
        self.number = 0
        self.stopped: frozenset[str] = frozenset()  # services

    @property
    def active(self) -> dict[str, Package]:
        """Return the packages that are served."""
        return self._preparation.active

    # THIS MACHINE'S SOURCES

    def step(self, scan: Scan) -> tuple[Outcome, ...]:
        """Go as far towards ``scan`` as what loads allows; tell it by package.

        Whatever fails is taken back, with what cannot be without it, and goes on
        as it was; the rest is switched by one assignment.
        """
        return self.join(scan, frozenset(), self.number, self.stopped)[1]

    def join(
        self, scan: Scan, required: frozenset[str], number: int, stopped: frozenset[str]
    ) -> tuple[bool, tuple[Outcome, ...]]:
        """Go to a generation that is decided; ``required`` are its packages.

        As `step`, unless one of them fails: then nothing changes, the answer is
        False, and the outcomes tell which.
        """
        before = self._preparation.active
        round_ = Round(planning.changes(before, scan))
        joined = self._go(round_, required, number, stopped)
        return joined, tuple(outcomes(before, scan, round_, self._traffic.versions))

    def _go(
        self,
        round_: Round,
        required: frozenset[str],
        number: int,
        stopped: frozenset[str],
    ) -> bool:
        try:
            while self._preparation.prepare(round_, required):
                if not round_.changed:
                    self._publish(self._traffic.versions, number, stopped)
                    return True
                if self._switch(round_, number, stopped):
                    return True
        except BaseException:
            self._preparation.discard(round_, keep={})
            raise
        return False

    # WHAT ALL NODES DO TOGETHER

    def stage(self, changes: Mapping[str, Package | None]) -> dict[str, Refusal]:
        """Load all of ``changes`` beside what serves; return who fails, and why.

        When nobody does, it waits for `switch` or `discard`; nothing else may be
        asked until then.  When somebody does, nothing of it is left.
        """
        round_ = Round(dict(changes))
        try:
            if self._preparation.prepare(round_, frozenset(changes)):
                self._round = round_
        except BaseException:
            self._preparation.discard(round_, keep={})
            raise
        return round_.refused

    def switch(self, number: int, stopped: frozenset[str]) -> None:
        """Serve what was staged, as generation ``number``, from now on.

        The nodes have decided, so there is no way back: what began to import from
        a changed package since it was staged is loaded again with it, or, if it
        cannot be, goes on with the old one.
        """
        round_, self._round = self._round, None
        if round_ is None:  # pragma: no cover - a caller's mistake
            raise RuntimeError("nothing is staged")
        if not round_.changed:
            self._publish(self._traffic.versions, number, stopped)
            return
        while not self._switch(round_, number, stopped):
            failed = self._preparation.complete(round_)
            if failed:
                for name, refusal in failed.items():
                    _log.error("%s goes on with old imports: %s", name, refusal.reason)
                self._preparation.discard(round_, keep=_changed(round_))
                self._switch(round_, number, stopped, forced=True)
                return

    def discard(self) -> None:
        """Let go of what was staged."""
        round_, self._round = self._round, None
        if round_ is not None:
            self._preparation.discard(round_, keep={})

    # SWITCHING

    def _switch(
        self,
        round_: Round,
        number: int,
        stopped: frozenset[str],
        *,
        forced: bool = False,
    ) -> bool:
        """Switch; False when somebody has begun to import what is going.

        ``forced`` leaves those with what they have imported.
        """
        versions = self._traffic.versions
        gone = {*round_.staged, *round_.dropped}
        kept = {n: v for n, v in versions.items() if n not in gone}
        moving = {n: v for n, v in kept.items() if not (forced and n in round_.late)}
        view = self._preparation.view(round_, self.switches + 1)
        late = move(_spaces(moving.values()), view, frozenset(gone))
        if late:
            round_.late |= late
            return False
        for loaded in round_.staged.values():
            if loaded.space is not None:
                loaded.space.view = view
        for version in round_.revived.values():
            if version.loaded.space is not None:
                registries.revive(version.loaded.space)
        new = {
            name: round_.revived.get(name) or Version(loaded)
            for name, loaded in round_.staged.items()
        }
        facade.activate(self, view)
        moves = self._preparation.moves_mounts(round_)
        self._publish({**kept, **new}, number, stopped)
        if moves or not self._has_kept_mounts:
            serving = (v.loaded for v in self._traffic.versions.values())
            self._keep_mounts(planning.claimed(mounts_of(serving)))
            self._has_kept_mounts = True
        self._settle(round_, [versions[n] for n in versions if n in gone])
        return True

    def _publish(
        self, versions: Mapping[str, Version], number: int, stopped: frozenset[str]
    ) -> None:
        if versions is self._traffic.versions and (number, stopped) == (
            self.number,
            self.stopped,
        ):
            return
        self.switches += 1
        self.number, self.stopped = number, stopped
        self._traffic.publish(self.switches, versions, stopped=stopped, number=number)

    def _settle(self, round_: Round, replaced: list[Version]) -> None:
        for version in replaced:
            space = version.loaded.space
            if space is not None:
                heir = self._traffic.versions.get(space.package.name)
                registries.silence(space, heir.loaded.space if heir else None)
        self._retirement.add(replaced)
        if self._rehearsal is not None:
            self._rehearsal.activated(round_.staged.values(), round_.dropped)

    # THE END

    def close(self) -> None:
        """Serve nothing any more; what served is left to the retirement."""
        self.discard()
        versions = list(self._traffic.versions.values())
        self._publish({}, self.number, self.stopped)
        self._retirement.add(versions)
        self._preparation.close()
        facade.deactivate(self)

    def end(self, version: Version) -> None:
        """Stop and forget a version that no request uses; on any thread."""
        self._runtime.stop(version.loaded)
        version.routes = None  # they hold it, too
        heir = self._traffic.versions.get(version.loaded.package.name)
        self._runtime.forget(version.loaded, heir.loaded if heir else None)


def _changed(round_: Round) -> dict[str, Package]:
    return {n: p for n, p in round_.changed.items() if p is not None}


def _spaces(versions: Iterable[Version]) -> tuple[Namespace, ...]:
    return tuple(v.loaded.space for v in versions if v.loaded.space is not None)
