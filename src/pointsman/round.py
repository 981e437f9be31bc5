"""One round of reconciling: what was wanted, and what became of it.  Engine."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.model import Kind, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pointsman.model import Package, Scan
    from pointsman.runtime.inprocess import Loaded
    from pointsman.traffic import Version


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a package stays as it was: what failed, and the traceback of its code."""

    reason: str
    traceback: str = ""


@dataclass(slots=True)
class Round:
    """One step's state: what is wanted, what was refused, what is staged."""

    wanted: dict[str, Package | None]
    refused: dict[str, Refusal] = field(default_factory=dict)
    staged: dict[str, Loaded] = field(default_factory=dict)
    late: set[str] = field(default_factory=set)  # importers found at the switch
    revived: dict[str, Version] = field(default_factory=dict)  # of staged: still warm

    @property
    def changed(self) -> dict[str, Package | None]:
        """Return what is wanted and not refused."""
        return {n: p for n, p in self.wanted.items() if n not in self.refused}

    @property
    def dropped(self) -> list[str]:
        """Return the packages that shall go."""
        return [name for name, package in self.changed.items() if package is None]


def outcomes(
    before: Mapping[str, Package],
    scan: Scan,
    round_: Round,
    versions: Mapping[str, Version],
) -> Iterable[Outcome]:
    """Return what became of each package, by name; ``before`` is what was served."""
    refused = {p.package: Refusal(p.reason) for p in scan.problems if p.package}
    refused.update(round_.refused)
    names = {*before, *versions, *refused}
    for name in sorted(names):
        version = versions.get(name)
        if name in refused:
            yield Outcome(
                name,
                "failed",
                refused[name].reason,
                refused[name].traceback,
                services=_services(version),  # those of its old version
            )
        elif version is None:
            yield Outcome(name, "removed")
        else:
            yield _served(name, version, before.get(name), round_)


def _services(version: Version | None) -> tuple[str, ...]:
    found = version.loaded.services if version else ()
    return tuple(one.mount.service for one in found)


def _served(
    name: str, version: Version, before: Package | None, round_: Round
) -> Outcome:
    package = version.loaded.package
    reason = ""
    if package.artifact.kind is Kind.HOST:
        status, reason = "host", "host module, changes with a release"
    elif before is None:
        status = "added"
    elif name not in round_.staged:
        status = "unchanged"
    else:
        status = "updated"
        causes = sorted(version.loaded.imports & {*round_.staged, *round_.dropped})
        if name not in round_.changed:
            reason = f"imports {', '.join(causes) or 'what changed'}"
    return Outcome(
        name,
        status,  # type: ignore[arg-type]
        reason,
        origin=package.artifact.origin,
        digest=package.artifact.digest,
        services=_services(version),
    )
