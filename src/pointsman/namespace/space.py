"""A private table of modules for one loaded artifact.  Effects.

Two versions of a package live in one process at the same time, under the same
module names, and neither sees the other.  A namespace imports, in this order: the
artifact's own modules; modules of other packages *of the same generation* (that
edge is recorded, so that they are loaded again together); whatever the host has.

It must never touch what serves: a namespace that fails is dropped as it is.
"""

from __future__ import annotations

import threading
import warnings
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec
from importlib.util import resolve_name
from types import ModuleType
from typing import TYPE_CHECKING, Any

from pointsman.namespace import facade, imports, isolation
from pointsman.namespace.callers import MARK
from pointsman.namespace.execution import execution
from pointsman.namespace.loader import ArtifactLoader
from pointsman.namespace.locks import ModuleLock
from pointsman.namespace.registries import Belongings
from pointsman.namespace.table import module_table

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pointsman.model import Package

_edges = threading.Lock()  # guards every Namespace's edges and ``view``


@dataclass(frozen=True, slots=True)
class View:
    """The namespaces of one generation: top-level module name to its owner.

    Whoever makes it gives ``owners`` away and never changes it again.
    """

    generation: int
    owners: Mapping[str, Namespace] = field(default_factory=dict)


class Namespace:
    """The modules of one artifact.

    Any thread may import through it.  ``view`` is the generation that it sees: it
    moves along with each new one in which the namespace is kept, and stays with
    the last one when it is replaced.

    ``codes`` are marshalled code objects by module name, from the rehearsal;
    modules that are not among them are compiled from the artifact's bytes.
    """

    def __init__(
        self, package: Package, root: Path, codes: Mapping[str, bytes] | None = None
    ) -> None:
        """Take the artifact unpacked at ``root``; import nothing yet."""
        self.package = package
        self.root = root
        self.codes = dict(codes or {})
        self.modules: dict[str, ModuleType] = {}
        self.imports: set[str] = set()  # names of the packages it imports from
        self.imported: set[str] = set()  # a top-level module of each of them
        self.view = View(0)
        self.forgotten = False
        self.keeps_codes = False  # in a rehearsal, to hand them back
        self.belongings = Belongings()
        self._table = module_table(package.artifact.files)
        self._locks: dict[str, ModuleLock] = {}
        self.tops = frozenset(name.partition(".")[0] for name in self._table)
        for top in self.tops:  # by which `imports` knows them before they are there
            facade.ensure(top)

    def __repr__(self) -> str:
        """Name the version."""
        return f"<namespace {self.package.name}@{self.package.artifact.digest[:12]}>"

    def detach(self) -> None:
        """Let go of all other namespaces; its own modules go on working."""
        with _edges:
            self.view = View(self.view.generation)

    # WHAT IS THERE

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all its modules, imported or not."""
        return frozenset(self._table)

    def has(self, name: str) -> bool:
        """Tell whether the artifact has the module ``name``, imported or not."""
        return name in self._table

    def spec(self, name: str) -> ModuleSpec:
        """Return a module's spec (PEP 451); its files are those of this version."""
        path = self._table[name]
        file = str(self.root / path) if path else None
        spec = ModuleSpec(
            name,
            ArtifactLoader(self, name, file or str(self.root / name)),
            origin=file,
            is_package=path is None or path.endswith("/__init__.py"),
        )
        if path is None:  # PEP 420: a folder without __init__.py
            spec.submodule_search_locations = [
                str(self.root.joinpath(*name.split(".")))
            ]
        elif spec.submodule_search_locations is not None and file:
            spec.submodule_search_locations = [str((self.root / path).parent)]
        spec.has_location = file is not None
        return spec

    def source(self, name: str) -> bytes:
        """Return the bytes of a module, as they were deployed."""
        path = self._table[name]
        return self.package.artifact.files[path] if path else b""

    def owner(self, top: str) -> Namespace | None:
        """Return who has the top-level module ``top`` in this generation.

        An answer other than this namespace is an edge, and is recorded before it
        is given, in one step with reading the view: whoever replaces a package
        (`move`) either sees the edge or is seen.
        """
        if top in self.tops:
            return self
        other = self.view.owners.get(top)
        if other is None or other.package.name in self.imports:
            return other
        with _edges:
            other = self.view.owners.get(top)
            if other is not None:
                self.imports.add(other.package.name)
                self.imported.add(top)
            return other

    def sees(self, other: Namespace) -> bool:
        """Tell whether ``other`` is what its code gets for one of those names."""
        return any(self.view.owners.get(top) is other for top in other.tops)

    def reach(self) -> frozenset[Namespace]:
        """Return this and all namespaces that it imports from, at any distance."""
        found: set[Namespace] = set()
        todo = [self]
        while todo:
            space = todo.pop()
            if space not in found:
                found.add(space)
                owners = (space.view.owners.get(top) for top in tuple(space.imported))
                todo.extend(owner for owner in owners if owner is not None)
        return frozenset(found)

    # IMPORTING

    def import_name(
        self,
        name: str,
        globals_: Mapping[str, Any],
        fromlist: tuple[str, ...] | None,
        level: int,
    ) -> Any:
        """Do what ``__import__`` does, for code of this namespace."""
        absolute = _absolute(name, globals_, level)
        top = absolute.partition(".")[0]
        owner = self.owner(top)
        if owner is None:
            if facade.is_facade(top):  # sys.modules would lead to another generation
                raise self._gone(absolute)
            return imports.ordinary(name, globals_, None, fromlist or (), level)
        module = owner.load(absolute)
        if fromlist:
            owner.load_children(module, absolute, fromlist)
            return module
        if not level:
            return owner.modules[top]
        cut = len(name) - len(name.partition(".")[0])
        return owner.modules[absolute[: len(absolute) - cut]]

    def load(self, name: str) -> ModuleType:
        """Return the module ``name``, imported; wait while another thread does it.

        Raises:
            ModuleNotFoundError: the artifact has no such module.
            BaseException: whatever the module raises.

        """
        module = self.modules.get(name)
        if module is not None and not _initializing(module):
            return module
        with self._locks.setdefault(name, ModuleLock()).hold():
            # Without the lock we are in a circle: the module as far as it is.
            module = self.modules.get(name)
            return module if module is not None else self._first(name)

    def load_children(
        self, module: ModuleType, name: str, fromlist: tuple[str, ...]
    ) -> None:
        """Import those of ``fromlist`` that are submodules (``_handle_fromlist``)."""
        for item in fromlist:
            child = f"{name}.{item}"
            if item == "*":
                self.load_children(module, name, tuple(getattr(module, "__all__", ())))
            elif self.has(child) and (
                not hasattr(module, item) or _initializing(self.modules.get(child))
            ):
                loaded = self.load(child)
                if not hasattr(module, item):  # or the interpreter takes the facade
                    _bound(module, item, loaded)

    def _gone(self, name: str) -> ModuleNotFoundError:
        message = f"No module named {name!r} beside this version of {self.package.name}"
        if self.forgotten:
            message += ", which was retired; end its threads in stop()"
        return ModuleNotFoundError(message, name=name)

    def _not_found(
        self, name: str, parent_name: str, parent: ModuleType | None
    ) -> ModuleNotFoundError:
        message = f"No module named {name!r}"
        top = name.partition(".")[0]
        if parent is not None and not hasattr(parent, "__path__"):
            message += f"; {parent_name!r} is not a package"
        elif name != top and self._table.get(top, "") is None:
            message += (
                f"; {top!r} is a folder of {self.package.name} alone, since a "
                "namespace package (PEP 420) cannot be spread over packages"
            )
        return ModuleNotFoundError(message, name=name)

    def _first(self, name: str) -> ModuleType:
        parent_name, _, child = name.rpartition(".")
        parent = self.load(parent_name) if parent_name else None
        if name in self.modules:  # the parent imported it
            return self.modules[name]
        if not self.has(name):
            reason = isolation.extension(name, self.package.artifact.files)
            if reason is not None:
                raise ImportError(reason, name=name)
            raise self._not_found(name, parent_name, parent)
        module = self._execute(name, parent, child)
        if parent is not None and not _bound(parent, child, module):  # as importlib
            message = f"Cannot set an attribute on {parent_name!r} for {child!r}"
            warnings.warn(message, ImportWarning, stacklevel=2)
        return module

    def _execute(self, name: str, parent: ModuleType | None, child: str) -> ModuleType:
        spec = self.spec(name)
        module = _new_module(spec)
        module.__dict__[MARK] = self
        facade.ensure(name)
        # As importlib: before anybody can find the module.
        spec._initializing = True  # type: ignore[attr-defined]  # noqa: SLF001
        self.modules[name] = module
        # A circular ``from . import child`` finds the real module by this, where
        # the interpreter would fall back to sys.modules, that is to the facade.
        early = (
            parent is not None
            and child not in getattr(parent, "__dict__", ())
            and _bound(parent, child, module)
        )
        try:
            if isinstance(spec.loader, ArtifactLoader) and spec.has_location:
                with execution(self.package.name):
                    exec(spec.loader.get_code(name), module.__dict__)  # noqa: S102
        except BaseException:
            self.modules.pop(name, None)
            facade.replaced(name)  # what it has put in its own place goes, too
            if early and getattr(parent, child, None) is module:
                delattr(parent, child)
            raise
        finally:
            spec._initializing = False  # type: ignore[attr-defined]  # noqa: SLF001
        substitute = facade.replaced(name)
        if substitute is not None:
            self.modules[name] = substitute
        return self.modules[name]


def move(
    kept: tuple[Namespace, ...], view: View, changed: frozenset[str]
) -> frozenset[str]:
    """Let the ``kept`` namespaces see ``view``, unless one imports what changed.

    Returns the names of those that do (an edge that appeared since the plan was
    made); then nothing has moved and they must be loaded anew as well.
    """
    with _edges:
        late = frozenset(s.package.name for s in kept if s.imports & changed)
        if not late:
            for space in kept:
                space.view = view
        return late


def _absolute(name: str, globals_: Mapping[str, Any], level: int) -> str:
    if not level:
        return name
    package = globals_.get("__package__")
    if package is None:
        package = str(globals_.get("__name__", ""))
        if "__path__" not in globals_:
            package = package.rpartition(".")[0]
    if not package:
        message = "attempted relative import with no known parent package"
        raise ImportError(message)
    return resolve_name("." * level + name, package)


def _bound(parent: Any, child: str, module: ModuleType) -> bool:
    """Make ``module`` an attribute of its package, where that takes any."""
    try:
        setattr(parent, child, module)
    except AttributeError:
        return False
    return True


def _new_module(spec: ModuleSpec) -> ModuleType:
    module = ModuleType(spec.name)
    module.__spec__ = spec
    module.__loader__ = spec.loader
    module.__package__ = spec.parent
    if spec.submodule_search_locations is not None:
        module.__path__ = spec.submodule_search_locations
    if spec.has_location:
        module.__file__ = spec.origin
    return module


def _initializing(module: ModuleType | None) -> bool:
    spec = getattr(module, "__spec__", None)
    return bool(getattr(spec, "_initializing", False))
