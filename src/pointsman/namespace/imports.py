"""The one ``__import__`` of the process, and to whom it hands each import.  Effects.

Code whose globals carry a namespace imports through it.  All other code imports as
ever; where it names a module that namespaces have (a library an application,
``importlib.import_module`` a plug-in), the version that it works for executes that
module first, and the stand-in in ``sys.modules`` is what it gets.

The alternative, a copy of ``builtins`` for each module with an ``__import__`` of its
own, either does not see names that are put into ``builtins`` later or makes each
look-up of a built-in name ten times as slow (docs/decisions/0002).
"""

from __future__ import annotations

import builtins
import sys
from importlib import _bootstrap as _unknown
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pointsman.namespace import callers, facade
from pointsman.namespace.callers import MARK

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The import of the process as it was before `install`.
ordinary = builtins.__import__

_bootstrap: Any = _unknown  # its private parts are in no stub

# What importlib.import_module and importlib.__import__ call.
_ordinary_by_name = _bootstrap._gcd_import  # noqa: SLF001 - the one place for all


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
    if space is not None:
        return space.import_name(name, scope, fromlist, level)
    if level:
        _execute_relative(name, scope, fromlist or (), level)
    elif type(sys.modules.get(name)) is not ModuleType and _is_ours(name):
        _execute(name, fromlist or ())
    return ordinary(name, globals, locals, fromlist or (), level)


def _execute_relative(
    name: str, scope: Mapping[str, Any], fromlist: tuple[str, ...], level: int
) -> None:
    """Do the same for a relative import of code without a mark (`runpy`, a file)."""
    parent = getattr(scope.get("__spec__"), "parent", "")
    package: Any = scope.get("__package__") or parent
    if _is_ours(package) and package.count(".") >= level - 1:
        _execute(_bootstrap._resolve_name(name, package, level), fromlist)  # noqa: SLF001


def _import_by_name(name: str, package: str | None = None, level: int = 0) -> Any:
    """Do what ``importlib.import_module`` does with its arguments taken apart.

    Code of a namespace gets the module itself.
    """
    absolute = name
    if level and isinstance(package, str):
        absolute = _bootstrap._resolve_name(name, package, level)  # noqa: SLF001
    if _is_ours(absolute):
        module = _execute(absolute, ())
        if callers.directly("importlib") is not None:
            return module
    return _ordinary_by_name(name, package, level)


def _is_ours(name: object) -> bool:
    return isinstance(name, str) and facade.is_facade(name.partition(".")[0])


def _execute(name: str, fromlist: tuple[str, ...]) -> ModuleType:
    """Import ``name`` in the version of the caller, else in the one that is active.

    Here, and not where importlib meets the stand-in: that knows nothing of versions,
    so a module that another version has would seem to be imported already; and it
    would hold a lock of its own meanwhile, by which it and `ModuleLock` could wait
    for each other.
    """
    owner = facade.owner_of(name)
    if owner is None:
        message = f"No module named {name!r}: no active version has it"
        raise ModuleNotFoundError(message, name=name)
    module = owner.load(name)
    owner.load_children(module, name, fromlist)
    return module


def install() -> None:
    """Take over ``builtins.__import__`` and ``importlib``'s, once per process.

    Whoever wraps them later wraps ours; whoever did before is called by ours.
    """
    global ordinary, _ordinary_by_name  # noqa: PLW0603 - there is one per process
    if builtins.__import__ is not _import:
        ordinary = builtins.__import__
        builtins.__import__ = _import  # type: ignore[assignment]
    if _bootstrap._gcd_import is not _import_by_name:  # noqa: SLF001
        _ordinary_by_name = _bootstrap._gcd_import  # noqa: SLF001
        _bootstrap._gcd_import = _import_by_name  # noqa: SLF001


def uninstall() -> None:
    """Give both back, unless somebody has wrapped ours."""
    if builtins.__import__ is _import:
        builtins.__import__ = ordinary
    if _bootstrap._gcd_import is _import_by_name:  # noqa: SLF001
        _bootstrap._gcd_import = _ordinary_by_name  # noqa: SLF001
