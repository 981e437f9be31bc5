"""What a deployment would change, and what one has changed.  Engine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman import differences
from pointsman.differences import Difference
from pointsman.errors import Refused, did_you_mean
from pointsman.history import History
from pointsman.routing import mount_key

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from pointsman.artifacts import Artifacts
    from pointsman.cluster import Contents, Entry, Generation
    from pointsman.interfaces import Ledger


@dataclass(frozen=True, slots=True)
class Planned:
    """What a deployment would do to one package.

    ``importers`` would be loaded again with it.  ``mounts`` are the names and paths
    of services that are known of it: by its manifest, or by what serves.  ``clash``
    says why it would be refused.
    """

    difference: Difference
    importers: tuple[str, ...] = ()
    mounts: tuple[str, ...] = ()
    clash: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a deployment would do to the active generation ``base``."""

    base: int
    packages: tuple[Planned, ...]


class Outlook:
    """Looks at generations and changes nothing.  Any thread; reads artifacts."""

    def __init__(
        self,
        ledger: Ledger,
        artifacts: Artifacts,
        importers: Callable[[str], Collection[str]],
    ) -> None:
        """Take the collaborators; see `deployments.Deployments`."""
        self._ledger = ledger
        self._history = History(ledger)
        self._artifacts = artifacts
        self._importers = importers

    def plan(self, entries: Iterable[Entry], remove: Iterable[str] = ()) -> Plan:
        """Return what deploying would do; the entries are stored, nothing else.

        Raises:
            Refused: 400, a package is named twice; 404, one of ``remove`` is not
                there.

        """
        active = self._history.active()
        entries, remove = tuple(entries), tuple(remove)
        require_once([*(entry.package for entry in entries), *remove])
        wanted: dict[str, Entry | None] = {entry.package: entry for entry in entries}
        for name in remove:
            if name not in active.entries:
                raise no_package(name, active)
            wanted[name] = None
        importers = {name: sorted(self._importers(name)) for name in wanted}
        mounts = self._ledger.mounts()
        planned = []
        for name, new in sorted(wanted.items()):
            difference = self._difference(name, active.entries.get(name), new)
            again = tuple(
                other
                for other in importers[name]
                if other not in wanted and difference.status != "unchanged"
            )
            clash = _clash(active.entries.get(name), new)
            own, taken = self._mounts(new, mounts, wanted)
            planned.append(Planned(difference, again, own, clash or taken))
        return Plan(active.number, tuple(planned))

    def diff(self, record: Generation) -> tuple[Difference, ...]:
        """Return what a generation changed of the one that was active before it.

        Raises:
            Refused: 404, the one before it is not kept any more.

        """
        number = record.number
        # Not the one before it that is kept: others may have been between the two.
        before = record.base if record.parent is None else record.parent
        old = self._history.contents(before)
        if old is None:
            detail = (
                f"what generation {number} changed is not known any more: generation "
                f"{before}, which was active before it, is not kept"
            )
            raise Refused(404, "Not Found", detail)
        new = self._ledger.contents(number)
        entries: Mapping[str, Entry | None]
        if new is not None:
            entries = {n: new.entries.get(n) for n in {*old.entries, *new.entries}}
        else:
            entries = {change.package: change.entry for change in record.changes}
        found = (
            self._difference(name, old.entries.get(name), entry)
            for name, entry in sorted(entries.items())
            if old.entries.get(name) != entry
        )
        return tuple(found)

    def _difference(
        self, package: str, old: Entry | None, new: Entry | None
    ) -> Difference:
        status = differences.status_of(old, new)
        files: tuple[differences.FileDifference, ...] = ()
        if status != "unchanged":
            before, after = self._files(old), self._files(new)
            files = tuple(differences.between(before, after))
        return Difference(package, status, old, new, files)

    def _files(self, entry: Entry | None) -> Mapping[str, bytes]:
        if entry is None:
            return {}
        return self._artifacts.package(entry).artifact.files

    def _mounts(
        self,
        entry: Entry | None,
        known: Mapping[str, str],
        wanted: Collection[str],
    ) -> tuple[tuple[str, ...], str]:
        """Return the names and paths that a package has, and which are taken."""
        if entry is None:
            return (), ""
        declared = self._artifacts.package(entry).declared
        keys = {one.name for one in declared}
        keys |= {mount_key(one.path) for one in declared if one.path}
        if not keys:
            keys = {key for key, owner in known.items() if owner == entry.package}
        for key in sorted(keys):
            owner = known.get(key, entry.package)
            if owner != entry.package and owner not in wanted:
                return tuple(sorted(keys)), f"{key} belongs to {owner}, which keeps it"
        return tuple(sorted(keys)), ""


def no_package(name: str, active: Contents) -> Refused:
    """Return the refusal of a package that the active generation does not have."""
    near = did_you_mean(name, active.entries)
    detail = f"generation {active.number} has no package {name[:200]!a}{near}"
    return Refused(404, "Not Found", detail)


def require_once(names: Iterable[str]) -> None:
    """Let each package be deployed or removed once: of two, nobody knows which counts.

    Raises:
        Refused: 400, one is named twice.

    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            detail = (
                f"{name[:200]!a} is to be deployed or removed twice at once; name each "
                "package once"
            )
            raise Refused(400, "Bad Request", detail)
        seen.add(name)


def _clash(old: Entry | None, new: Entry | None) -> str:
    if old is None or new is None or old.source_kind == new.source_kind:
        return ""
    return (
        f"{old.package} is from {old.source} ({old.file}), and {new.source} cannot "
        "replace it; remove it there first"
    )
