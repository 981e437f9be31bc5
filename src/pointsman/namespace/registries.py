"""The lists that other libraries keep for the whole process, per version.  Effects.

A module that is imported again registers again: a metric, a log handler, an exit
function.  Left alone, the first would raise, the second would log every line
twice, and all would hold the old version for ever.  So registrations *made by the
code of a namespace itself* are noted with it (what a host library does while a
service imports it is the host's) and end with it.
"""

from __future__ import annotations

import atexit
import contextlib
import linecache
import logging
import sys
import threading
import typing
import weakref
from dataclasses import dataclass, field
from functools import partial
from types import FunctionType
from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client.metrics import MetricWrapperBase

from pointsman.namespace import callers
from pointsman.namespace.handlers import LogHandlers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from prometheus_client.registry import Collector

    from pointsman.namespace.space import Namespace

_log = logging.getLogger(__name__)
_lock = threading.RLock()  # guards _ordinary and the default metric registry's swaps
_ordinary: dict[str, Any] = {}


@dataclass(slots=True)
class Belongings:
    """What the code of one namespace has registered in the process."""

    at_exit: list[tuple[Callable[..., object], tuple[Any, ...], dict[str, Any]]] = (
        field(default_factory=list)
    )
    logs: LogHandlers = field(default_factory=LogHandlers)
    collectors: list[Collector] = field(default_factory=list)


def install() -> None:
    """Scope the registries, once per process."""
    registry = prometheus_client.REGISTRY
    with _lock:
        if _ordinary:
            return
        _ordinary.update(
            register=registry.register,
            unregister=registry.unregister,
            add_handler=logging.Logger.addHandler,
            remove_handler=logging.Logger.removeHandler,
            start=threading.Thread.start,
            at_exit=atexit.register,
            not_at_exit=atexit.unregister,
        )
        registry.register = _register  # type: ignore[method-assign]
        registry.unregister = _unregister  # type: ignore[method-assign]
        logging.Logger.addHandler = _add_handler  # type: ignore[method-assign]
        logging.Logger.removeHandler = _remove_handler  # type: ignore[method-assign]
        threading.Thread.start = _start  # type: ignore[method-assign]
        atexit.register = _at_exit
        atexit.unregister = _not_at_exit
        _ordinary["at_exit"](_run_all_at_exit)


def release(space: Namespace, heir: Namespace | None = None) -> None:
    """End what a namespace has registered; its metrics go on in ``heir``'s.

    Nothing that its code raises on the way gets out of here; it is logged.
    """
    belongings = space.belongings
    _spaces_at_exit.discard(space)
    belongings.logs.end()
    for collector in belongings.collectors:
        _withdraw(collector)
    for collector in heir.belongings.collectors if heir else ():
        _readmit(collector)
    run_at_exit(space)
    _forget_finders(space)
    for clear in typing._cleanups:  # type: ignore[attr-defined]  # noqa: SLF001
        clear()  # List[OwnClass] is held by typing's caches


def silence(space: Namespace, heir: Namespace | None = None) -> None:
    """Detach the log handlers of a version, but for those that ``heir`` counts on."""
    space.belongings.logs.silence(heir.belongings.logs if heir else None)


def revive(space: Namespace) -> None:
    """Undo `silence`, for a version that serves again; its metrics are those shown.

    A metric that is the same in both versions has had one value all the time; others
    go on where this version left them.  Metrics that only the other version has stay
    until that is released.
    """
    belongings = space.belongings
    belongings.logs.revive()
    with _lock:
        for collector in belongings.collectors:
            for other in _same_names(collector):
                if other is not collector and _belongs_to(other, space.package.name):
                    _withdraw(other)
            _readmit(collector)


def forget_lines(files: Iterable[str]) -> None:
    """Drop source lines that tracebacks have left in ``linecache``."""
    for file in files:
        linecache.cache.pop(file, None)


# METRICS


def _register(collector: Collector) -> None:
    space = callers.directly("prometheus_client")
    if space is None:
        _ordinary["register"](collector)
        return
    with _lock:
        for older in _same_names(collector):
            if not _belongs_to(older, space.package.name):
                break  # and let the registry say that it is a duplicate
            if _continues(collector, older):
                # One state for both versions: the count goes on, and what the old
                # version still counts is not lost.
                # The values are shared, and not the dictionary that holds them: the
                # garbage collector of 3.13.0 empties those of a dictionary whose first
                # object is gone.
                vars(collector).update(vars(older))
            _withdraw(older)
        _ordinary["register"](collector)
        space.belongings.collectors.append(collector)
        _owners[collector] = space.package.name


_owners: weakref.WeakKeyDictionary[Collector, str] = weakref.WeakKeyDictionary()


def _belongs_to(collector: Collector, package: str) -> bool:
    return _owners.get(collector) == package


def _same_names(collector: Collector) -> list[Collector]:
    registry: Any = prometheus_client.REGISTRY
    names = registry._get_names(collector)  # noqa: SLF001
    known = registry._names_to_collectors  # noqa: SLF001
    return list({id(known[n]): known[n] for n in names if n in known}.values())


def _continues(new: Collector, old: Collector) -> bool:
    """Tell whether two metrics are one: same type, name, labels and buckets.

    ``new`` registers in the middle of its ``__init__``, so only what is set before
    can be compared.  An Enum does not know its states by then and starts anew.
    """
    if type(new) is not type(old) or not isinstance(new, MetricWrapperBase):
        return False
    if isinstance(new, prometheus_client.Enum):
        return False
    before, after = vars(old), vars(new)
    same = ("_name", "_labelnames", "_upper_bounds", "_multiprocess_mode")
    return all(before.get(key) == after.get(key) for key in same)


def _unregister(collector: Collector) -> None:
    _ordinary["unregister"](collector)
    space = callers.directly("prometheus_client")
    if space is not None and collector in space.belongings.collectors:
        space.belongings.collectors.remove(collector)  # and is never shown again


def _withdraw(collector: Collector) -> None:
    with _lock, contextlib.suppress(KeyError):
        _ordinary["unregister"](collector)


def _readmit(collector: Collector) -> None:
    registry: Any = prometheus_client.REGISTRY
    with _lock, contextlib.suppress(ValueError):
        if collector not in registry._collector_to_names:  # noqa: SLF001
            _ordinary["register"](collector)


# LOGGING


def _add_handler(self: logging.Logger, hdlr: logging.Handler) -> None:
    _ordinary["add_handler"](self, hdlr)
    space = callers.directly("logging")
    if space is not None:
        space.belongings.logs.add(self, hdlr)


def _remove_handler(self: logging.Logger, hdlr: logging.Handler) -> None:
    _ordinary["remove_handler"](self, hdlr)
    space = callers.directly("logging")
    if space is not None:
        space.belongings.logs.remove(self, hdlr)


# THREADS


def _start(self: threading.Thread) -> None:
    space = callers.nearest()
    if space is not None:
        setattr(self, callers.MARK, weakref.ref(space))
    _ordinary["start"](self)


# EXIT FUNCTIONS

_spaces_at_exit: weakref.WeakSet[Namespace] = weakref.WeakSet()


def _at_exit(function: Callable[..., object], /, *args: Any, **kwargs: Any) -> Any:
    space = callers.directly("atexit")
    if space is None:
        return _ordinary["at_exit"](function, *args, **kwargs)
    space.belongings.at_exit.append((function, args, kwargs))
    _spaces_at_exit.add(space)
    return function


def _not_at_exit(function: Callable[..., object], /) -> None:
    space = callers.directly("atexit")
    if space is None:
        _ordinary["not_at_exit"](function)
        return
    kept = [entry for entry in space.belongings.at_exit if entry[0] != function]
    space.belongings.at_exit[:] = kept


def run_at_exit(space: Namespace) -> None:
    """Call what a namespace wants called at its end, the last one first."""
    while space.belongings.at_exit:
        function, args, kwargs = space.belongings.at_exit.pop()
        _quietly(space, function, *args, **kwargs)


def _run_all_at_exit() -> None:
    for space in list(_spaces_at_exit):
        run_at_exit(space)


def _quietly(
    space: Namespace, function: Callable[..., object], *args: Any, **kwargs: Any
) -> None:
    try:
        callers.marked(space)(partial(function, *args, **kwargs))
    except BaseException:  # noqa: BLE001 - a stranger's clean-up must not stop ours
        _log.exception("%s: %r failed while it was retired", space, function)


# FINDERS


def _forget_finders(space: Namespace) -> None:
    lists: tuple[list[Any], ...] = (sys.meta_path, sys.path_hooks)
    for hooks in lists:
        hooks[:] = [hook for hook in hooks if not _made_by(hook, space)]


def _made_by(hook: object, space: Namespace) -> bool:
    """Tell whether a hook, or the class of a finder, is code of ``space``."""
    if isinstance(hook, FunctionType):
        return hook.__globals__.get(callers.MARK) is space
    kind = hook if isinstance(hook, type) else type(hook)
    return any(
        getattr(getattr(one, "__func__", one), "__globals__", {}).get(callers.MARK)
        is space
        for base in kind.__mro__
        for one in vars(base).values()
    )
