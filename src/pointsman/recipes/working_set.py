"""What zc.recipe.egg has chosen, without what only a build needs.  Effects: reads eggs.

The working set of zc.buildout has whole folders: a dependency that the build's own
Python has installed brings everything along that is installed beside it, pip and
zc.buildout among it.  So the requirements are followed once more, from the eggs that
the part names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from pointsman.errors import ConfigError, ReleaseError
from pointsman.recipes.distributions import Distribution, is_of

if TYPE_CHECKING:
    from collections.abc import Iterable


def requirement(line: str) -> Requirement:
    """Return what a line of ``eggs`` asks for.

    Raises:
        ConfigError: it is no requirement.

    """
    try:
        return Requirement(line)
    except InvalidRequirement as error:
        raise ConfigError(f"eggs: {line!r} names no distribution: {error}") from error


def needed(
    chosen: Iterable[Any], lines: Iterable[str], develop_eggs: Path
) -> list[Distribution]:
    """Return the distributions that ``lines`` of ``eggs`` need, by name.

    Raises:
        ConfigError: a line is no requirement.
        ReleaseError: a distribution is neither an unpacked egg nor in development.

    """
    there: dict[str, Any] = {}
    for each in chosen:
        there.setdefault(canonicalize_name(each.project_name), each)
    projects = _projects(develop_eggs)
    found = [
        _distribution(there[key], projects.get(key)) for key in _closure(there, lines)
    ]
    return sorted(found, key=lambda one: one.name.lower())


def _closure(there: dict[str, Any], lines: Iterable[str]) -> set[str]:
    """Return the keys of ``there`` that can be reached; buildout has all of them."""
    wanted: list[Any] = [requirement(line) for line in lines]
    seen: set[tuple[str, frozenset[str]]] = set()
    while wanted:
        each = wanted.pop()
        key = canonicalize_name(each.name)
        extras = frozenset(each.extras)
        if (key, extras) not in seen:
            seen.add((key, extras))
            wanted += there[key].requires(tuple(extras))
    return {key for key, _ in seen}


def _distribution(each: Any, project: Path | None) -> Distribution:
    name, version, folder = each.project_name, each.version, Path(each.location)
    if project is not None:
        return Distribution(name, version, folder, project)
    names = [path.name for path in folder.glob("*.dist-info")]
    if not any(is_of(found, name, version) for found in names):
        raise ReleaseError(
            f"{name} {version} at {folder} is no egg that buildout has unpacked; a "
            "release can only hold such"
        )
    return Distribution(name, version, folder, crowded=len(names) > 1)


def _projects(develop_eggs: Path) -> dict[str, Path]:
    """Return where the source of each develop egg is, as pip has noted it (PEP 610)."""
    found: dict[str, Path] = {}
    for note in develop_eggs.glob("*.dist-info/direct_url.json"):
        url = json.loads(note.read_text("utf-8"))["url"]
        name = note.parent.name.partition("-")[0]
        found[canonicalize_name(name)] = Path(unquote(urlsplit(url).path))
    return found
