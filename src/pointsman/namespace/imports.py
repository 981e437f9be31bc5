"""The one ``__import__`` of the process, and to whom it hands each import.  Effects.

Code whose globals carry a namespace imports through it; all other code imports as
ever.  The alternative, a copy of ``builtins`` for each module with an
``__import__`` of its own, either does not see names that are put into ``builtins``
later or makes each look-up of a built-in name ten times as slow
(docs/decisions/0002).
"""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING, Any

from pointsman.namespace.callers import MARK

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The import of the process as it was before `install`.
ordinary = builtins.__import__


def _import(
    name: str,
    globals: Mapping[str, Any] | None = None,  # noqa: A002 - the signature is given
    locals: Mapping[str, Any] | None = None,  # noqa: A002
    fromlist: tuple[str, ...] | None = (),
    level: int = 0,
) -> Any:
    """Import a module (see ``help(__import__)`` of the language reference)."""
    scope = globals
    if scope is None:  # __import__("x"), called by hand
        scope = sys._getframe(1).f_globals  # noqa: SLF001
    space = scope.get(MARK)
    if space is None:
        return ordinary(name, globals, locals, fromlist or (), level)
    return space.import_name(name, scope, fromlist, level)


def install() -> None:
    """Take over ``builtins.__import__``, once per process.

    Whoever wraps it later wraps ours; whoever did before is called by ours.
    """
    global ordinary  # noqa: PLW0603 - there is one per process
    if builtins.__import__ is not _import:
        ordinary = builtins.__import__
        builtins.__import__ = _import  # type: ignore[assignment]


def uninstall() -> None:
    """Give ``builtins.__import__`` back, unless somebody has wrapped ours."""
    if builtins.__import__ is _import:
        builtins.__import__ = ordinary
