"""zc.recipe.egg, wherever it is.  Edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from zc.buildout.buildout import _install_and_load

if TYPE_CHECKING:
    from zc.buildout.buildout import Buildout, Options


def recipe(buildout: Buildout, name: str, options: Options, kind: str = "eggs") -> Any:
    """Return zc.recipe.egg's ``Eggs`` for the options of a part, or its ``scripts``.

    The extra ``pointsman[buildout]`` brings zc.recipe.egg; where ``recipe =
    pointsman:tree`` stands without it, buildout installs it like any other recipe.
    """
    made = _install_and_load("zc.recipe.egg", "zc.buildout", kind, buildout)
    return made(buildout, name, options)
