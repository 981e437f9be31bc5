"""Whose a module name is: the host's names are refused to packages.  Effects.

A service called ``json`` or ``click`` would be right for itself and wrong for
everybody that it calls.  So a name belongs to one owner.
"""

from __future__ import annotations

import os
import sys
from functools import cached_property
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.namespace.facade import is_facade

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable


class HostNames:
    """What the environment has.  Made anew for each reload; one thread.

    ``ours`` are directories of service sources that may be on ``sys.path``; what
    lies there is not the host's.
    """

    def __init__(self, ours: Callable[[], Iterable[Path]]) -> None:
        """Look at nothing before the first question: most reloads ask none."""
        self._ours = ours

    @cached_property
    def _path(self) -> list[str]:
        own = {path.resolve() for path in self._ours()}
        return [entry for entry in sys.path if Path(entry).resolve() not in own]

    @cached_property
    def _listed(self) -> Container[str]:
        """Return what the names of files let be there: one look for all questions."""
        found: set[str] = set()
        for entry in self._path:
            try:
                names = os.listdir(entry or ".")  # noqa: PTH208 - as text, for 85 of them
            except NotADirectoryError:  # a zip file: only its finder knows
                return _Everything()
            except OSError:
                continue
            found.update(name.partition(".")[0] for name in names)
        return found

    def file(self, top: str) -> str | None:
        """Return where the host has the top-level module ``top``, or None."""
        if top in sys.stdlib_module_names or top in sys.builtin_module_names:
            return _standard(top)
        if top in sys.modules and not is_facade(top):
            return getattr(sys.modules[top], "__file__", None) or "built into the host"
        if top not in self._listed:
            return None
        spec = PathFinder.find_spec(top, self._path)
        if spec is None:
            return None
        folders = spec.submodule_search_locations or ("a folder",)
        return spec.origin or next(iter(folders))


class _Everything:
    def __contains__(self, _: object) -> bool:
        return True


def _standard(top: str) -> str:
    spec = PathFinder.find_spec(top, sys.path)
    where = spec.origin if spec else "built into Python"
    return f"the standard library, {where}"
