"""Whom a failed generation failed for, and who must go with them.  Decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.planning import reached

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from pointsman.cluster import Generation


@dataclass(frozen=True, slots=True)
class Why:
    """Why a package was not deployed: for people, with all that is known."""

    reason: str
    node: str = ""
    traceback: str = ""
    generation: int = 0


def failures(
    generation: Generation,
    packages: Collection[str],
    imports: Mapping[str, Collection[str]],
    importers: Callable[[str], Collection[str]],
) -> dict[str, Why]:
    """Return which of the ``packages`` of a failed generation have to stay out.

    Those that a node named; those whose importers, served already, a node named;
    and all that import from these, by ``imports`` (among the packages).  Where
    nobody is named it is all of them: nothing tells the innocent.
    """
    named = _named(generation)
    found = {name: why for name, why in named.items() if name in packages}
    if not found:  # or they fail because of those, and not of the rest
        found = _blamed(named, packages, importers)
    if not found:
        found = _overtaken(generation, packages)
    if not found:
        why = Why(generation.reason or "it failed", generation=generation.number)
        return dict.fromkeys(packages, why)
    roots = set(found)
    for name in packages:
        causes = reached(name, imports) & roots
        if name not in roots and causes:
            cause = min(causes & set(imports[name]) or causes)
            way = "" if cause in imports[name] else " by way of others"
            reason = f"it imports {cause}{way}, which failed: {found[cause].reason}"
            found[name] = Why(reason, generation=generation.number)
    return found


def _named(generation: Generation) -> dict[str, Why]:
    found: dict[str, Why] = {}
    for vote in generation.votes:
        for failed in vote.failures:
            why = Why(failed.reason, vote.node, failed.traceback, generation.number)
            found.setdefault(failed.package, why)
    return found


def _blamed(
    named: Mapping[str, Why],
    packages: Collection[str],
    importers: Callable[[str], Collection[str]],
) -> dict[str, Why]:
    """Return the packages with which others fail that were served before."""
    found: dict[str, Why] = {}
    for name in packages:
        for other in sorted(named.keys() & set(importers(name))):
            found.setdefault(name, _fails_with(other, named[other]))
    return found


def _fails_with(other: str, why: Why) -> Why:
    reason = f"{other}, which imports it, fails with it: {why.reason}"
    return Why(reason, why.node, why.traceback, why.generation)


def _overtaken(generation: Generation, packages: Collection[str]) -> dict[str, Why]:
    """Return the package that somebody else changed while ours waited its turn."""
    if generation.staged_at is not None:
        return {}
    why = Why(generation.reason, generation=generation.number)
    return {name: why for name in packages if generation.reason.startswith(f"{name} ")}
