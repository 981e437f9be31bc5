"""Which commands the ``bin/`` of a tree has.  Effects: reads metadata of ``lib/``."""

from __future__ import annotations

import re
from importlib.metadata import distributions
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

from pointsman.errors import ConfigError, did_you_mean
from pointsman.recipes.scripts import Script

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

_ENTRY_POINT = re.compile(r"([\w.-]+)=(\w+(?:\.\w+)*):(\w+(?:\.\w+)*)\Z")


def offered(lib: Path, names: Iterable[str]) -> dict[str, Script]:
    """Return the console scripts of these distributions, by name."""
    wanted = {canonicalize_name(name) for name in names}
    found = {}
    for each in distributions(path=[str(lib)]):
        if canonicalize_name(each.metadata["Name"]) not in wanted:
            continue
        for point in each.entry_points.select(group="console_scripts"):
            module, _, function = point.value.partition("[")[0].strip().partition(":")
            found[point.name] = Script(point.name, module, function)
    return found


def chosen(
    known: Mapping[str, Script], names: str | None, entry_points: Iterable[str]
) -> list[Script]:
    """Return what to make, by name; ``names`` and ``entry_points`` as the options have.

    ``names`` of None takes all that is offered, "" none; ``a=b`` makes ``a`` as ``b``.

    Raises:
        ConfigError: nothing offers such a script, or an entry point is wrong.

    """
    made = dict(known)
    for text in entry_points:
        match = _ENTRY_POINT.match(text)
        if match is None:
            raise ConfigError(f"entry-points: {text!r} is not NAME=MODULE:FUNCTION")
        made[match[1]] = Script(*match.groups())
    if names is None:
        return [made[name] for name in sorted(made)]
    return [_named(made, name) for name in sorted(names.split())]


def _named(known: Mapping[str, Script], wish: str) -> Script:
    name, _, new = wish.partition("=")
    if name not in known:
        there = ", ".join(sorted(known)) or "none"
        raise ConfigError(
            f"scripts: none of the eggs has a script {name!r}"
            f"{did_you_mean(name, known)}; they have {there}"
        )
    script = known[name]
    return Script(new or name, script.module, script.function)
