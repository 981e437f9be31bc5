"""Packages that run in this process, each version in its namespace.  Effects.

The steps of a package's life are separate calls, because a deployment takes each
step for all of its packages before it takes the next for any: `load` (import,
make the services, let them check), `start`, and at the end `stop` and `forget`.
Called from one thread at a time, which runs the service's own code.
"""

from __future__ import annotations

import importlib
import logging
import threading
from typing import TYPE_CHECKING

from pointsman import tracebacks
from pointsman.errors import ArtifactError, Error, LoadError
from pointsman.model import Kind
from pointsman.namespace import callers, facade, imports, isolation, registries
from pointsman.namespace.execution import execution
from pointsman.namespace.leaks import Watch
from pointsman.namespace.space import Namespace
from pointsman.runtime.declarations import missing_module, module_of
from pointsman.runtime.services import mounted

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    from pointsman.model import Declared, Package
    from pointsman.namespace.unpacked import Unpacked
    from pointsman.runtime.services import Mounted, Surroundings

_log = logging.getLogger(__name__)


class Loaded:
    """One version of a package in this process.  ``space`` is None for the host's."""

    def __init__(self, package: Package, space: Namespace | None) -> None:
        """Hold what was opened; nothing is imported yet."""
        self.package = package
        self.space = space
        self.services: tuple[Mounted, ...] = ()
        self.rehearsed = False
        self.finished = False  # imported, made and checked
        self.started: list[Mounted] = []

    @property
    def imports(self) -> frozenset[str]:
        """Return the packages that it has imported from so far."""
        return frozenset(self.space.imports) if self.space else frozenset()

    @property
    def origins(self) -> dict[str, str]:
        """Return where files lie, and by which path their authors know them.

        Also the files of all that it imports from: a traceback passes through them.
        """
        reach = self.space.reach() if self.space else ()
        return {str(space.root): space.package.artifact.origin for space in reach}


def install() -> None:
    """Take over what a process has only one of, so that versions do not meet."""
    facade.install()
    imports.install()
    registries.install()
    isolation.install()


# Every namespace of this process that is not forgotten: what serves, what is on its
# way out, and what is just being loaded.
_living: set[Namespace] = set()
_living_lock = threading.Lock()  # guards _living


def is_anything_loaded() -> bool:
    """Tell whether this process has a namespace, of whichever node."""
    with _living_lock:
        return bool(_living)


def _drop_facades(space: Namespace) -> None:
    """Drop those that no other namespace needs; ``space`` lives no more.

    All under the lock: who is opened meanwhile makes its own again.
    """
    with _living_lock:
        _living.discard(space)
        others = [other for other in _living if other.tops & space.tops]
        needed = frozenset(name for other in others for name in other.names)
        facade.drop(space.names - needed)


class InProcess:
    """The `pointsman.interfaces.Runtime` of this process."""

    def __init__(self, unpacked: Unpacked, around: Surroundings) -> None:
        """Take where files are laid out, and what services are given."""
        self._unpacked = unpacked
        self._around = around
        self.watch = Watch()
        install()

    def open(self, package: Package) -> Loaded:
        """Lay out a version; import nothing."""
        if package.artifact.kind is Kind.HOST:
            return Loaded(package, None)
        root = self._unpacked.place(package.artifact)
        with _living_lock:
            space = Namespace(package, root)
            _living.add(space)
        return Loaded(package, space)

    def load(self, loaded: Loaded) -> None:
        """Import what the package offers, make its services, let them check."""
        load(loaded, self._around)

    def start(self, loaded: Loaded) -> None:
        """Call ``start()`` of its services, once."""
        start(loaded)

    def stop(self, loaded: Loaded) -> None:
        """Call ``stop()`` of what was started; log what it raises."""
        stop(loaded)

    def forget(self, loaded: Loaded, heir: Loaded | None) -> None:
        """Let go of a version that serves nothing any more."""
        space = loaded.space
        loaded.services = ()
        if space is None or space.forgotten:
            return
        registries.release(space, heir.space if heir else None)
        self.watch.add(space)
        space.forgotten = True
        files = [m.__file__ for m in tuple(space.modules.values()) if _has_file(m)]
        _drop_facades(space)
        if self._unpacked.leave(space.root):
            registries.forget_lines(str(file) for file in files)
        space.detach()


def load(loaded: Loaded, around: Surroundings) -> None:
    """Import what the package offers, make its services, let them check.

    Does nothing where that is done already.

    Raises:
        LoadError: the package's code raised, whatever it raised.

    """
    if loaded.finished:
        return
    package = loaded.package
    with execution(package.name):
        with _Blame(loaded, "failed while it was imported"):
            modules = {name: _module(loaded, name) for name in package.offers}
            used = {module_of(one): _used(loaded, one) for one in package.declared}
        with _Blame(loaded, "failed while its services were made"):
            loaded.services = callers.marked(loaded.space)(
                mounted, package, modules, used, around
            )
        with _Blame(loaded, "was refused by its own check()"):
            _hooks(loaded, "check")
    loaded.finished = True


def start(loaded: Loaded) -> None:
    """Call ``start()`` of its services, once.

    Raises:
        LoadError: one of them raised.

    """
    with execution(loaded.package.name), _Blame(loaded, "failed in start()"):
        for one in loaded.services:
            if one not in loaded.started:
                loaded.started.append(one)
                if one.service is not None:
                    callers.marked(loaded.space)(one.service.start)


def stop(loaded: Loaded) -> None:
    """Call ``stop()`` of what was started; log what it raises."""
    while loaded.started:
        one = loaded.started.pop()
        if one.service is not None:
            try:
                callers.marked(loaded.space)(one.service.stop)
            except KeyboardInterrupt:
                raise
            except BaseException:  # noqa: BLE001 - the service's own; the rest must go on
                _log.exception("%s failed in stop()", one.mount.service)


def _has_file(module: ModuleType) -> bool:
    return isinstance(getattr(module, "__file__", None), str)


def _module(loaded: Loaded, name: str) -> ModuleType:
    if loaded.space is not None:
        return loaded.space.load(name)
    return importlib.import_module(name)


def _used(loaded: Loaded, one: Declared) -> ModuleType:
    """Import the module of a declared service: its own, or one that it can import."""
    name, space = module_of(one), loaded.space
    if space is None:
        return importlib.import_module(name)
    if space.has(name):
        return space.load(name)
    try:
        if name.partition(".")[0] not in space.tops:
            found: ModuleType = space.import_name(name, {}, ("__name__",), 0)
            return found
    except ModuleNotFoundError as error:
        if error.name is None or not f"{name}.".startswith(f"{error.name}."):
            raise  # it is there, and imports something that is not
    raise missing_module(loaded.package, one, space.names)


def _hooks(loaded: Loaded, hook: str) -> None:
    for one in loaded.services:
        if one.service is not None:
            method: Callable[[], None] = getattr(one.service, hook)
            callers.marked(loaded.space)(method)


class _Blame:
    """Turns whatever a package's code raises into a LoadError that names it."""

    def __init__(self, loaded: Loaded, what: str) -> None:
        self._loaded = loaded
        self._what = what

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if error is None:
            return
        package = self._loaded.package
        if isinstance(error, ArtifactError):
            raise LoadError(package.name, error.reason) from error
        if isinstance(error, Error):
            raise error
        origins = self._loaded.origins
        reason = f"{self._what}: {tracebacks.reason(error, origins)}"
        told = tracebacks.text(error, origins)
        raise LoadError(package.name, reason, told) from error
