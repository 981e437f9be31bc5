"""What changes, loaded beside what serves, up to where it can be switched.  Engine.

Nothing here touches what serves.  One thread at a time.
"""

from __future__ import annotations

import logging
from functools import partial
from typing import TYPE_CHECKING

from pointsman import planning
from pointsman.errors import ArtifactError, ReleaseError
from pointsman.model import Kind
from pointsman.namespace import table
from pointsman.namespace.space import View
from pointsman.round import Refusal
from pointsman.runtime.staging import Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from threading import Thread

    from pointsman.errors import LoadError
    from pointsman.interfaces import Runtime
    from pointsman.model import Mount, Package
    from pointsman.rehearsal.client import Rehearsal
    from pointsman.retirement import Retirement
    from pointsman.round import Round
    from pointsman.runtime.inprocess import Loaded
    from pointsman.traffic import Traffic, Version

_log = logging.getLogger(__name__)


class Preparation:
    """Brings rounds to where they can be switched.  From one thread at a time."""

    def __init__(
        self,
        *,
        runtime: Runtime[Loaded],
        traffic: Traffic,
        retirement: Retirement,
        rehearsal: Rehearsal | None,
        deadline: float,
        mounts: Callable[[], Mapping[str, str]],
        reserved: str,
        starts: bool,
        owner: Callable[[str], str | None],
        on_host_modules: Callable[[tuple[str, ...]], None],
    ) -> None:
        """Take the collaborators.

        ``reserved`` is the path of the control surface; without ``starts`` no
        service's ``start()`` is called.  ``mounts`` tells which package had which
        name and path when they were last decided.  ``owner`` says which file of
        the host has a name; ``on_host_modules`` is told what a rehearsal imported
        of the host.
        """
        self._runtime = runtime
        self._traffic = traffic
        self._retirement = retirement
        self._rehearsal = rehearsal
        self._stage_thread = Stage(deadline)
        self._mounts = mounts
        self._reserved = reserved
        self._starts = starts
        self._owner = owner
        self._on_host_modules = on_host_modules
        self._stuck: dict[str, Thread] = {}

    @property
    def active(self) -> dict[str, Package]:
        """Return the packages that are served."""
        return {n: v.loaded.package for n, v in self._traffic.versions.items()}

    @property
    def stuck(self) -> tuple[str, ...]:
        """Return the packages whose load has not come back."""
        self._stuck = {n: t for n, t in self._stuck.items() if t.is_alive()}
        return tuple(self._stuck)

    def imports(self, staged: Mapping[str, Loaded]) -> dict[str, frozenset[str]]:
        """Return what each package imports from, as it serves and as it is staged."""
        serving = self._traffic.versions.items()
        found = {
            name: frozenset(space.imports)
            for name, version in serving
            if (space := version.loaded.space) is not None and space.imports
        }
        for name, loaded in staged.items():
            found[name] = found.get(name, frozenset()) | loaded.imports
        return found

    def prepare(self, round_: Round, required: frozenset[str]) -> bool:
        """Stage what can be; False, and nothing staged, if something required fails.

        What fails and is not required is taken back, with what cannot be without it.
        """
        round_.refused.update(self._refusals(round_, required))
        while not required & round_.refused.keys():
            failed = self._attempt(round_)
            if not failed:
                return True
            self._take_back(round_, failed)
        self.discard(round_, keep={})
        return False

    def complete(self, round_: Round) -> dict[str, Refusal]:
        """Stage what must be loaded as well, now that ``round_.late`` is known."""
        return self._stage(round_, self._targets(round_)) or self._start(round_)

    def discard(self, round_: Round, keep: Mapping[str, Package]) -> None:
        """Let go of what is staged, but for what ``keep`` has still the same."""
        for name, loaded in list(round_.staged.items()):
            if keep.get(name) is not loaded.package:
                del round_.staged[name]
                if name in round_.revived:
                    self._retirement.put_back(round_.revived.pop(name))
                    continue
                self._runtime.stop(loaded)
                version = self._traffic.versions.get(name)
                self._runtime.forget(loaded, version.loaded if version else None)

    def close(self) -> None:
        """End the thread that loads."""
        self._stage_thread.close()

    # WHAT NEED NOT BE TRIED

    def _refusals(self, round_: Round, required: frozenset[str]) -> dict[str, Refusal]:
        found: dict[str, Refusal] = {}
        owned = self._owned(round_)
        for name, package in round_.changed.items():
            reason = self._refusal(name, package)
            if not reason and package is not None:
                reason = planning.owned_twice(package, _tops(package), owned)
            if not reason and package is None and name in required:
                reason = planning.needed(name, round_.wanted, self.imports({}))
            if reason:
                found[name] = Refusal(reason)
            elif package is not None:
                owned.update(dict.fromkeys(_tops(package), package))
        return found

    def _owned(self, round_: Round) -> dict[str, Package]:
        """Return who has which module name and stays; {} if nobody wants another."""
        changed = round_.changed.items()
        if all(p is None or _tops(p) <= self._tops_of(name) for name, p in changed):
            return {}
        return {
            top: version.loaded.package
            for name, version in self._traffic.versions.items()
            if name not in round_.wanted and version.loaded.space is not None
            for top in version.loaded.space.tops
        }

    def _tops_of(self, name: str) -> frozenset[str]:
        """Return the module names that the version has which serves."""
        version = self._traffic.versions.get(name)
        space = version.loaded.space if version is not None else None
        return space.tops if space is not None else frozenset()

    def _refusal(self, name: str, package: Package | None) -> str:
        if name in self.stuck:
            return (
                "is stuck: an earlier load of it has not come back; restart this "
                "process to load it"
            )
        if package is None or package.artifact.kind is Kind.HOST:
            return ""
        known = self._tops_of(name)
        for top in sorted(_tops(package)):
            file = None if top in known else self._owner(top)
            if file is not None:
                return (
                    f"{package.artifact.origin}: the module name {top!r} belongs to "
                    f"{file}; rename yours, since one name has one owner"
                )
        return ""

    # ONE ATTEMPT

    def _attempt(self, round_: Round) -> dict[str, Refusal]:
        """Stage all that is not refused; return what fails."""
        targets = self._targets(round_)
        self.discard(round_, keep=targets)
        failed = self._stage(round_, targets)
        return failed or self._clashes(round_) or self._start(round_)

    def _targets(self, round_: Round) -> dict[str, Package]:
        """Return what must be loaded, those that are imported from first listed."""
        changed, versions = round_.changed, self._traffic.versions
        concerned = planning.affected(
            [*changed, *round_.late], self.imports(round_.staged)
        )
        targets = {n: p for n, p in changed.items() if p is not None}
        for name in versions.keys() & (concerned - changed.keys()):
            targets[name] = versions[name].loaded.package
        return targets

    def _stage(
        self, round_: Round, targets: Mapping[str, Package]
    ) -> dict[str, Refusal]:
        failed: dict[str, Refusal] = {}
        self._revive(round_, targets)
        for name, package in targets.items():
            if name not in round_.staged:
                try:
                    round_.staged[name] = self._runtime.open(package)
                except (ReleaseError, ArtifactError) as error:
                    failed[name] = Refusal(str(error))
        view = self.view(round_, 0)
        for loaded in round_.staged.values():
            if loaded.space is not None:
                loaded.space.view = view
        failed = failed or self._rehearse(round_)
        return failed or self._run(round_, self._runtime.load)

    def view(self, round_: Round, generation: int) -> View:
        """Return who has which module once the round is switched."""
        gone = {*round_.staged, *round_.dropped}
        kept = [v.loaded for n, v in self._traffic.versions.items() if n not in gone]
        owners = {
            top: loaded.space
            for loaded in (*kept, *round_.staged.values())
            if loaded.space is not None
            for top in loaded.space.tops
        }
        return View(generation, owners)

    def _rehearse(self, round_: Round) -> dict[str, Refusal]:
        if self._rehearsal is None:
            return {}
        failed: dict[str, Refusal] = {}
        todo = [
            name
            for name, loaded in round_.staged.items()
            if not loaded.rehearsed and name not in round_.revived
        ]
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

    def _start(self, round_: Round) -> dict[str, Refusal]:
        return self._run(round_, self._runtime.start) if self._starts else {}

    def _run(self, round_: Round, step: Callable[[Loaded], None]) -> dict[str, Refusal]:
        steps = {
            name: (lambda one=loaded: step(one))
            for name, loaded in round_.staged.items()
            if name not in round_.revived
        }
        done = self._stage_thread.run(steps)
        if done.stuck and done.thread is not None:
            self._stuck[done.stuck] = done.thread
            round_.staged.pop(done.stuck, None)  # that thread still works on it
            _log.error("stuck: %s", done.stuck)
        return {name: _refusal_of(error) for name, error in done.errors.items()}

    def moves_mounts(self, round_: Round) -> bool:
        """Tell whether any name or path gets or loses an owner: few updates do that."""
        versions = self._traffic.versions
        gone = versions.keys() & {*round_.staged, *round_.dropped}
        before = mounts_of(versions[name].loaded for name in gone)
        # One by one: two that want the same are two.
        return sorted(map(_claim, before)) != sorted(
            map(_claim, mounts_of(round_.staged.values()))
        )

    def _clashes(self, round_: Round) -> dict[str, Refusal]:
        if not self.moves_mounts(round_):
            return {}
        versions = self._traffic.versions
        gone = {*round_.staged, *round_.dropped}
        kept = [v.loaded for name, v in versions.items() if name not in gone]
        new = planning.in_order_of_claim(
            mounts_of(round_.staged.values()), self._mounts(), versions
        )
        found = planning.clashes(mounts_of(kept), new, self._reserved)
        return {name: Refusal(reason) for name, reason in found.items()}

    # TAKING BACK

    def _take_back(self, round_: Round, failed: Mapping[str, Refusal]) -> None:
        back = planning.retracted(failed, round_.changed, self.imports(round_.staged))
        for name, cause in back.items():
            refusal = failed[cause]
            if name != cause:
                reason = f"{cause}, which imports it, fails with it: {refusal.reason}"
                refusal = Refusal(reason, refusal.traceback)
            round_.refused[name] = refusal
        stale = planning.affected([*failed, *back], self.imports(round_.staged))
        keep = {n: o.package for n, o in round_.staged.items() if n not in stale}
        self.discard(round_, keep)

    # VERSIONS THAT ARE STILL WARM

    def _revive(self, round_: Round, targets: Mapping[str, Package]) -> None:
        """Take back into service what was replaced a moment ago and is wanted again.

        Only where it would import, from every package, the very version that it
        has imported already: that one serves on, or is revived with it.
        """
        wanted = {n: p for n, p in targets.items() if n not in round_.staged}
        for name, package in wanted.items():
            version = self._retirement.take_back(partial(_is, package))
            if version is not None:
                round_.revived[name] = version
                round_.staged[name] = version.loaded
        while unfit := self._unfit(round_):
            for name in unfit:
                version = round_.revived.pop(name)
                del round_.staged[name]
                self._retirement.put_back(version)

    def _unfit(self, round_: Round) -> list[str]:
        if not round_.revived:
            return []
        serving = self.view(round_, 0).owners
        # What is yet to be opened has no namespace: nobody can have imported it.
        missing = set(self._targets(round_)) - round_.staged.keys()
        found = []
        for name, version in round_.revived.items():
            space = version.loaded.space
            if space is not None and not (
                version.loaded.imports.isdisjoint(missing)
                and all(
                    serving.get(top) is owner
                    for owner in space.reach() - {space}
                    for top in owner.tops
                )
            ):
                found.append(name)
        return found


def _tops(package: Package) -> frozenset[str]:
    if package.artifact.kind is Kind.HOST:
        return frozenset()
    return table.tops(package.artifact.files)


def _claim(mount: Mount) -> tuple[str, str, str]:
    return mount.package, mount.service, mount.path


def _is(package: Package, version: Version) -> bool:
    known = version.loaded.package
    return known.name == package.name and known.same_as(package)


def _refusal_of(error: LoadError) -> Refusal:
    return Refusal(error.reason, error.traceback)


def mounts_of(loaded: Iterable[Loaded]) -> list[Mount]:
    """Return all mounts of these versions."""
    return [one.mount for each in loaded for one in each.services]
