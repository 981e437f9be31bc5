"""Who holds an object, in words that a developer understands.  Effects.

A path leads from something that is certainly alive to the object.  Told is its last
piece outside of the version: whose list or attribute it is, and what that is called.
"""

from __future__ import annotations

import functools
import sys
import threading
from collections import deque
from types import CellType, FrameType, FunctionType, MappingProxyType, MethodType
from typing import TYPE_CHECKING, Any

from pointsman.namespace import callers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.namespace.space import Namespace

# They have no name of their own: what holds *them* is told.
_CONTAINERS = (
    CellType,
    MappingProxyType,
    MethodType,
    deque,
    dict,
    frozenset,
    functools.partial,
    list,
    set,
    tuple,
)

_THREADS = ("_active", "_limbo", "_dangling")  # threading's own lists of threads


def running() -> Iterator[tuple[str, Namespace]]:
    """Yield a sentence for each thread that a namespace has started, and which."""
    frames = sys._current_frames()  # noqa: SLF001
    for thread in threading.enumerate():
        reference = getattr(thread, callers.MARK, None)
        space = reference() if reference is not None else None
        frame = frames.get(thread.ident or 0)
        if space is not None and frame is not None:
            yield _doing(thread.name, frame, space), space


def told(path: tuple[object, ...]) -> str:
    """Return who holds the last object of ``path``; nothing if that is a thread.

    Threads that a namespace has started are told by `running`.
    """
    start = max(i for i, thing in enumerate(path[:-1]) if i == 0 or _is_known(thing))
    owner, rest = path[start], path[start + 1 :]
    if isinstance(owner, FrameType):
        return _variable(owner)
    if isinstance(owner, threading.Thread):
        if hasattr(owner, callers.MARK):
            return ""
        return f"thread {owner.name!r}, by its target or an attribute"
    attribute, thing = _attribute(owner, rest)
    if owner is vars(threading) and attribute in _THREADS:
        return ""
    if owner is vars(sys):
        return f"sys.{attribute}"
    what = attribute or "something"
    if thing is not path[-1] and isinstance(thing, _CONTAINERS):
        what = f"the {type(thing).__name__} {attribute}".rstrip()
    return f"{what} of {_name(owner, path[:start])}"


def _doing(name: str, innermost: FrameType, space: Namespace) -> str:
    frame: FrameType | None = innermost
    while frame is not None:
        if frame.f_globals.get(callers.MARK) is space:
            return f"thread {name!r} is running {_place(frame)}"
        frame = frame.f_back
    return f"thread {name!r}, which it started, is in {_place(innermost)}"


def _place(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__', '?')}.{frame.f_code.co_qualname}"


def _variable(frame: FrameType) -> str:
    for ident, innermost in sys._current_frames().items():  # noqa: SLF001
        deeper: FrameType | None = innermost
        while deeper is not None and deeper is not frame:
            deeper = deeper.f_back
        if deeper is frame:
            thread = threading._active.get(ident)  # type: ignore[attr-defined]  # noqa: SLF001
            if hasattr(thread, callers.MARK):
                return ""
            name = getattr(thread, "name", ident)
            return f"thread {name!r}, by a variable in {_place(frame)}"
    return f"a variable in {_place(frame)}"


def _is_known(thing: object) -> bool:
    """Tell whether a thing can be named: a module, class, function or instance."""
    if isinstance(thing, dict):
        return _module_of(thing) is not None
    return not isinstance(thing, _CONTAINERS)


def _module_of(thing: object) -> str | None:
    """Return the name of the module whose globals a dictionary is."""
    name = thing.get("__name__") if type(thing) is dict else None
    module = sys.modules.get(name) if isinstance(name, str) else None
    if module is not None and getattr(module, "__dict__", None) is thing:
        return name
    if isinstance(name, str) and type(thing) is dict and callers.MARK in thing:
        return name  # a module of another version
    return None


def _attribute(owner: object, rest: tuple[object, ...]) -> tuple[str, object]:
    """Return what the first step from ``owner`` is called, and where it leads.

    The name is empty where Python does not show it.
    """
    if isinstance(owner, FunctionType) and rest[0] is owner.__closure__:
        return _of_closure(owner, rest[1:])
    names = owner if isinstance(owner, dict) else _vars(owner)
    own = _vars_as_they_are(owner)
    is_own = rest[0] is own or (isinstance(owner, type) and type(rest[0]) is dict)
    steps = rest[1:] if len(rest) > 1 and is_own else rest
    for name, value in tuple(names.items()):
        if value is steps[0]:
            return str(name), steps[0]
    return _slot(owner, steps[0]), steps[0]


def _of_closure(function: FunctionType, rest: tuple[object, ...]) -> tuple[str, object]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    name = next((name for name, cell in cells if cell is rest[0]), "a cell")
    return f"{name} in the closure", rest[min(1, len(rest) - 1)]


def _vars_as_they_are(owner: object) -> object:
    """Return the dictionary of an instance or class as it is, or None."""
    try:
        return object.__getattribute__(owner, "__dict__")
    except AttributeError:
        return None


def _vars(owner: object) -> dict[str, Any]:
    found = _vars_as_they_are(owner)
    return dict(found) if isinstance(found, (dict, MappingProxyType)) else {}


def _slot(owner: object, value: object) -> str:
    for kind in type(owner).__mro__:
        for name, member in tuple(vars(kind).items()):
            if type(member).__name__ == "member_descriptor":
                try:
                    found = member.__get__(owner, type(owner))
                except AttributeError:
                    continue
                if found is value:
                    return name
    return ""


def _name(owner: object, above: tuple[object, ...]) -> str:
    """Return what an owner is called, and where it is found if it has no name."""
    module = _module_of(owner)
    if module is not None:
        return f"module {module}"
    if isinstance(owner, type):
        return f"class {owner.__module__}.{owner.__qualname__}"
    if isinstance(owner, FunctionType):
        return f"function {owner.__module__}.{owner.__qualname__}"
    kind = type(owner)
    known = f"{kind.__module__}.{kind.__qualname__}"
    name = _vars(owner).get("name")
    if isinstance(name, str):
        return f"{known} {name!r}"
    places = map(_below, reversed(above))
    return known + next(filter(None, places), "")


def _below(thing: object) -> str:
    """Return where a thing without a name is found, if this can be told."""
    if isinstance(thing, FrameType):
        return f", held by {_variable(thing) or _place(thing)}"
    if isinstance(thing, threading.Thread):
        return f", held by thread {thing.name!r}"
    module = _module_of(thing)
    return f", in module {module}" if module is not None else ""
