"""One module name, many versions: what ``sys.modules`` holds for it.  Effects.

A namespace keeps its modules in a table of its own.  ``sys.modules`` has one
`Facade` for each of their names, which hands every access to the real module of
*the caller's* namespace, else of the version that is active.  So code of the host
(pickle, dataclasses, ZODB, ``mock.patch``) that looks a module up by its name
finds the right one.

Facades and finder are of the whole process and for any thread; nothing here runs
while a request is routed.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from importlib.metadata import DistributionFinder
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pointsman.namespace import callers, distributions

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from importlib.machinery import ModuleSpec
    from importlib.metadata import Distribution

    from pointsman.namespace.space import Namespace, View

_lock = threading.RLock()  # guards the changes of _views and of sys.modules' facades
_views: dict[object, View] = {}  # the active view of each node in this process


def activate(node: object, view: View) -> None:
    """Let callers of no namespace see ``view`` from now on."""
    with _lock:
        _views[node] = view


def deactivate(node: object) -> None:
    """Forget the view of a node that is closed."""
    with _lock:
        _views.pop(node, None)


def owner_of(name: str) -> Namespace | None:
    """Return who has the module ``name`` for the code that is calling."""
    top = name.partition(".")[0]
    space = callers.nearest()
    if space is not None:
        return _owner_for(space, top)
    for view in tuple(_views.values()):
        if top in view.owners:
            return view.owners[top]
    return None


def _owner_for(space: Namespace, top: str) -> Namespace | None:
    """Return who has ``top`` for code of ``space`` and for those that called it.

    An older version may have called what is shared and was kept, say to unpickle
    its objects.  It is still its own request, so its own modules come first.
    """
    owner = space.owner(top)  # also records the edge
    for caller in callers.on_stack():
        if top in caller.tops:
            return caller
    return owner


class Facade(ModuleType):
    """Stands in ``sys.modules`` for all versions of one module."""

    def __getattribute__(self, attribute: str) -> Any:
        """Read from the caller's version; load it first where that was not done."""
        return getattr(_real(self, attribute), attribute)

    def __setattr__(self, attribute: str, value: Any) -> None:
        """Write to the caller's version."""
        if type(value) is Facade:  # importlib binds a child to its parent
            value = _real(value, "__dict__")
        setattr(_real(self, attribute), attribute, value)

    def __delattr__(self, attribute: str) -> None:
        """Delete from the caller's version."""
        delattr(_real(self, attribute), attribute)

    def __dir__(self) -> Iterable[str]:
        """List the caller's version."""
        return dir(_real(self, "__dict__"))


def _real(facade: Facade, attribute: str) -> Any:
    name: str = ModuleType.__getattribute__(facade, "__name__")
    owner = owner_of(name)
    if owner is None or not owner.has(name):
        message = f"no active version has the module {name!r}"
        raise AttributeError(message, name=attribute, obj=None)
    module = owner.modules.get(name)
    if module is not None:
        return module
    if attribute.startswith("__") and attribute != "__dict__":
        # Who walks all of sys.modules (inspect, warnings) imports nothing by it.
        return _Unloaded(owner.spec(name))
    return owner.load(name)


class _Unloaded:
    """What can be said of a module that this version has not imported."""

    def __init__(self, spec: ModuleSpec) -> None:
        self.__spec__ = spec
        self.__name__ = spec.name
        self.__loader__ = spec.loader
        self.__package__ = spec.parent
        self.__file__ = spec.origin
        if spec.submodule_search_locations is not None:
            self.__path__ = spec.submodule_search_locations


def ensure(name: str) -> Facade:
    """Put a facade for ``name`` into ``sys.modules`` if there is none, return it."""
    with _lock:
        found = sys.modules.get(name)
        if type(found) is Facade:
            return found
        facade = sys.modules[name] = Facade(name)
        return facade


def replaced(name: str) -> Any:
    """Return what a module put into ``sys.modules`` in its own place, or None.

    The facade is put back: the replacement belongs to one version.
    """
    with _lock:
        found = sys.modules.get(name)
        if type(found) is Facade or found is None:
            return None
        sys.modules[name] = Facade(name)
        return found


def drop(names: Iterable[str]) -> None:
    """Take out the facades of ``names``, which no namespace has any more."""
    with _lock:
        for name in names:
            if type(sys.modules.get(name)) is Facade:
                del sys.modules[name]


class Finder:
    """Makes facades on demand, for ``importlib.import_module`` and the like."""

    @staticmethod
    def find_spec(
        fullname: str,
        path: Sequence[str] | None = None,  # noqa: ARG004
        target: ModuleType | None = None,  # noqa: ARG004
    ) -> ModuleSpec | None:
        """Return the spec in the caller's version (PEP 451), or None."""
        owner = owner_of(fullname)
        return owner.spec(fullname) if owner and owner.has(fullname) else None

    @staticmethod
    def find_distributions(
        context: DistributionFinder.Context | None = None,
    ) -> Iterable[Distribution]:
        """Return what the caller's version is, where it is a wheel."""
        return distributions.found(context or DistributionFinder.Context())

    @staticmethod
    def invalidate_caches() -> None:
        """Do nothing: nothing is cached."""


def install() -> None:
    """Put the finder first on ``sys.meta_path``, once per process."""
    with _lock:
        if Finder not in sys.meta_path:
            sys.meta_path.insert(0, Finder)


def uninstall() -> None:
    """Take the finder out again."""
    with _lock, contextlib.suppress(ValueError):
        sys.meta_path.remove(Finder)


def is_facade(name: str) -> bool:
    """Tell whether ``sys.modules`` has a module of some namespace under ``name``."""
    return type(sys.modules.get(name)) is Facade
