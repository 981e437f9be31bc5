"""What cannot work inside a namespace, and how that is said.  Effects.

Each has a row in ``docs/reference/isolation.md``, under the same words.
"""

from __future__ import annotations

import multiprocessing
from importlib.machinery import EXTENSION_SUFFIXES
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from pointsman.namespace import callers

if TYPE_CHECKING:
    from collections.abc import Iterable

_ordinary_start = BaseProcess.start


def told(row: str, what: str) -> str:
    """Return a sentence that names the row of the reference, and the way out."""
    return (
        f'{what}; see "{row}" in docs/reference/isolation.md, and run the package in '
        "a process of its own: isolation = process"
    )


def extension(name: str, files: Iterable[str]) -> str | None:
    """Return why a module cannot be imported, if it is compiled code."""
    start = name.replace(".", "/")
    for path in files:
        if any(path == start + suffix for suffix in EXTENSION_SUFFIXES):
            what = f"{name} is compiled code ({path}), which a process can load once"
            return told("extension modules", what)
    return None


def _start(self: Any) -> None:
    space = callers.nearest()
    method = getattr(self, "_start_method", None)
    method = method or multiprocessing.get_start_method(allow_none=True)
    if space is not None and method in ("spawn", "forkserver"):
        target = getattr(self, "_target", None) or type(self)
        module = getattr(target, "__module__", "") or ""
        if space.owner(module.partition(".")[0]) is not None:
            what = (
                f"a process started by {method} is to run {module}, which it cannot "
                "import"
            )
            raise RuntimeError(told("spawned processes", what))
    _ordinary_start(self)


def install() -> None:
    """Refuse what would only fail in another process, once per process."""
    BaseProcess.start = _start  # type: ignore[method-assign]
