"""From what is wanted to what is served, whole or not at all.  Engine.

`Reconciler.step` is one round: stage what changed and all that imports it, beside
what serves; take out what fails; switch; retire.  One thread at a time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pointsman import planning
from pointsman.errors import ArtifactError, ReleaseError
from pointsman.model import Kind
from pointsman.namespace import facade, registries
from pointsman.namespace.space import View, move
from pointsman.round import Refusal, Round, outcomes
from pointsman.runtime.staging import Stage
from pointsman.traffic import Version

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from threading import Thread

    from pointsman.claims import Claims
    from pointsman.errors import LoadError
    from pointsman.interfaces import Runtime
    from pointsman.model import Mount, Outcome, Package, Scan
    from pointsman.namespace.space import Namespace
    from pointsman.rehearsal.client import Rehearsal
    from pointsman.retirement import Retirement
    from pointsman.runtime.inprocess import Loaded
    from pointsman.traffic import Traffic

_log = logging.getLogger(__name__)


class Reconciler:
    """Brings one process to what a scan wants.  ``step`` from one thread at a time."""

    def __init__(
        self,
        *,
        runtime: Runtime[Loaded],
        traffic: Traffic,
        retirement: Retirement,
        rehearsal: Rehearsal | None,
        deadline: float,
        claims: Claims,
        reserved: str,
        starts: bool,
        owner: Callable[[str], str | None],
        on_host_modules: Callable[[tuple[str, ...]], None],
    ) -> None:
        """Take the collaborators.

        ``reserved`` is the path of the control surface; without ``starts`` no
        service's ``start()`` is called.
        ``owner`` says which file of the host has a name; ``on_host_modules`` is
        told what a rehearsal imported of the host.
        """
        self._runtime = runtime
        self._traffic = traffic
        self._retirement = retirement
        self._rehearsal = rehearsal
        self._stage_thread = Stage(deadline)
        self._claims = claims
        self._reserved = reserved
        self._starts = starts
        self._owner = owner
        self._on_host_modules = on_host_modules
        self._stuck: dict[str, Thread] = {}
        self.generation = 0

    # WHAT IS THERE

    @property
    def active(self) -> dict[str, Package]:
        """Return the packages that are served."""
        return {n: v.loaded.package for n, v in self._traffic.versions.items()}

    @property
    def stuck(self) -> tuple[str, ...]:
        """Return the packages whose load has not come back."""
        self._stuck = {n: t for n, t in self._stuck.items() if t.is_alive()}
        return tuple(self._stuck)

    def _imports(self, staged: Mapping[str, Loaded]) -> dict[str, frozenset[str]]:
        found = {n: v.loaded.imports for n, v in self._traffic.versions.items()}
        for name, loaded in staged.items():
            found[name] = found.get(name, frozenset()) | loaded.imports
        return found

    # ONE ROUND

    def step(self, scan: Scan) -> tuple[Outcome, ...]:
        """Go as far towards ``scan`` as what loads allows; tell it by package.

        Whatever fails is taken back, with what cannot be without it, and goes on
        as it was; the rest is switched by one assignment.
        """
        before = self.active
        round_ = Round(planning.changes(before, scan))
        for name, package in round_.wanted.items():
            refusal = self._refusal(name, package)
            if refusal is not None:
                round_.refused[name] = refusal
        try:
            while not self._attempt(round_):
                pass
        except BaseException:
            self._discard(round_, keep={})
            raise
        return tuple(outcomes(before, scan, round_, self._traffic.versions))

    def _refusal(self, name: str, package: Package | None) -> Refusal | None:
        if name in self.stuck:
            reason = (
                "is stuck: an earlier load of it has not come back; restart this "
                "process to load it"
            )
            return Refusal(reason)
        if package is None or package.artifact.kind is Kind.HOST:
            return None
        file = None if name in self.active else self._owner(name)
        if file is None:
            return None
        reason = (
            f"{package.artifact.origin}: the module name {name!r} belongs to {file}; "
            "rename yours, since one name has one owner"
        )
        return Refusal(reason)

    def _attempt(self, round_: Round) -> bool:
        """Try to switch; False when something was taken back and it must go again."""
        targets = self._targets(round_)
        self._discard(round_, keep=targets)
        failed = self._stage(round_, targets)
        if not failed:
            failed = self._clashes(round_)
        if not failed and self._starts:
            failed = self._run(round_, self._runtime.start)
        if failed:
            self._take_back(round_, failed)
            return False
        return not round_.changed or self._switch(round_)

    def _targets(self, round_: Round) -> dict[str, Package]:
        """Return what must be loaded, those that are imported from first listed."""
        changed, active = round_.changed, self.active
        concerned = planning.affected(
            [*changed, *round_.late], self._imports(round_.staged)
        )
        targets = {n: p for n, p in changed.items() if p is not None}
        for name in active.keys() & (concerned - changed.keys()):
            targets[name] = active[name]
        return targets

    def _stage(
        self, round_: Round, targets: Mapping[str, Package]
    ) -> dict[str, Refusal]:
        failed: dict[str, Refusal] = {}
        for name, package in targets.items():
            if name not in round_.staged:
                try:
                    round_.staged[name] = self._runtime.open(package)
                except (ReleaseError, ArtifactError) as error:
                    failed[name] = Refusal(str(error))
        view = self._view(round_)
        for loaded in round_.staged.values():
            if loaded.space is not None:
                loaded.space.view = view
        failed = failed or self._rehearse(round_)
        return failed or self._run(round_, self._runtime.load)

    def _rehearse(self, round_: Round) -> dict[str, Refusal]:
        if self._rehearsal is None:
            return {}
        failed: dict[str, Refusal] = {}
        todo = [n for n, loaded in round_.staged.items() if not loaded.rehearsed]
        while todo:
            try:
                found = self._rehearsal.run(round_.staged, todo, round_.dropped)
            except ReleaseError as error:
                return {name: Refusal(str(error)) for name in todo}
            self._on_host_modules(found.host_modules)
            for name, codes in found.codes.items():
                loaded = round_.staged[name]
                loaded.rehearsed = True
                if loaded.space is not None:
                    loaded.space.codes.update(codes)
            for name, failure in found.failures.items():
                failed[name] = Refusal(failure.reason, failure.traceback)
            todo = [n for n in found.untried if n not in failed]
        return failed

    def _run(self, round_: Round, step: Callable[[Loaded], None]) -> dict[str, Refusal]:
        steps = {
            name: (lambda one=loaded: step(one))
            for name, loaded in round_.staged.items()
        }
        done = self._stage_thread.run(steps)
        if done.stuck and done.thread is not None:
            self._stuck[done.stuck] = done.thread
            round_.staged.pop(done.stuck, None)  # that thread still works on it
            _log.error("stuck: %s", done.stuck)
        return {name: _refusal_of(error) for name, error in done.errors.items()}

    def _clashes(self, round_: Round) -> dict[str, Refusal]:
        versions = self._traffic.versions
        gone = {*round_.staged, *round_.dropped}
        kept = [v.loaded for name, v in versions.items() if name not in gone]
        new = planning.in_order_of_claim(
            _mounts(round_.staged.values()), self._claims.read(), versions
        )
        found = planning.clashes(_mounts(kept), new, self._reserved)
        return {name: Refusal(reason) for name, reason in found.items()}

    # TAKING BACK

    def _take_back(self, round_: Round, failed: Mapping[str, Refusal]) -> None:
        back = planning.retracted(failed, round_.changed, self._imports(round_.staged))
        for name, cause in back.items():
            refusal = failed[cause]
            if name != cause:
                reason = f"{cause}, which imports it, fails with it: {refusal.reason}"
                refusal = Refusal(reason, refusal.traceback)
            round_.refused[name] = refusal
        stale = planning.affected([*failed, *back], self._imports(round_.staged))
        keep = {n: o.package for n, o in round_.staged.items() if n not in stale}
        self._discard(round_, keep)

    def _discard(self, round_: Round, keep: Mapping[str, Package]) -> None:
        for name, loaded in list(round_.staged.items()):
            if keep.get(name) is not loaded.package:
                del round_.staged[name]
                self._runtime.stop(loaded)
                version = self._traffic.versions.get(name)
                self._runtime.forget(loaded, version.loaded if version else None)

    # SWITCHING

    def _view(self, round_: Round) -> View:
        gone = {*round_.staged, *round_.dropped}
        kept = [v.loaded for n, v in self._traffic.versions.items() if n not in gone]
        owners = {
            top: loaded.space
            for loaded in (*kept, *round_.staged.values())
            if loaded.space is not None
            for top in loaded.space.tops
        }
        return View(self.generation + 1, owners)

    def _switch(self, round_: Round) -> bool:
        versions = self._traffic.versions
        gone = {*round_.staged, *round_.dropped}
        kept = {n: v for n, v in versions.items() if n not in gone}
        view = self._view(round_)
        late = move(_spaces(kept.values()), view, frozenset(gone))
        if late:
            round_.late |= late
            return False
        for loaded in round_.staged.values():
            if loaded.space is not None:
                loaded.space.view = view
        self.generation += 1
        new = {name: Version(loaded) for name, loaded in round_.staged.items()}
        facade.activate(self, view)
        self._traffic.publish(self.generation, {**kept, **new})
        self._claims.keep(
            planning.claimed(_mounts(v.loaded for v in self._traffic.versions.values()))
        )
        self._settle(round_, [versions[n] for n in versions if n in gone])
        return True

    def _settle(self, round_: Round, replaced: list[Version]) -> None:
        for version in replaced:
            if version.loaded.space is not None:
                registries.silence(version.loaded.space)
        self._retirement.add(replaced)
        if self._rehearsal is not None:
            self._rehearsal.activated(round_.staged.values(), round_.dropped)

    # THE END

    def close(self) -> None:
        """End the thread that loads."""
        self._stage_thread.close()

    def end(self, version: Version) -> None:
        """Stop and forget a version that no request uses; on any thread."""
        self._runtime.stop(version.loaded)
        heir = self._traffic.versions.get(version.loaded.package.name)
        self._runtime.forget(version.loaded, heir.loaded if heir else None)


def _refusal_of(error: LoadError) -> Refusal:
    return Refusal(error.reason, error.traceback)


def _mounts(loaded: Iterable[Loaded]) -> list[Mount]:
    return [one.mount for each in loaded for one in each.services]


def _spaces(versions: Iterable[Version]) -> tuple[Namespace, ...]:
    return tuple(v.loaded.space for v in versions if v.loaded.space is not None)
