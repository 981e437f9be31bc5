"""Which services a package's modules offer, and under which names.  Effects.

It makes the objects; it calls none of their hooks.
"""

from __future__ import annotations

import inspect
import logging
import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pointsman.errors import ArtifactError
from pointsman.model import Mount
from pointsman.routing import mount_key
from pointsman.service import Service, kebab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    from pointsman.model import Package

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\Z")
_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True, eq=False)
class Mounted:
    """One service, made: a WSGI application and where it is reached."""

    mount: Mount
    application: Any
    service: Service | None  # where it has hooks


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a service is given of the host."""

    settings: Mapping[str, Mapping[str, str]]
    resources: Mapping[str, Any]
    global_conf: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Offer:
    name: str
    path: str
    make: Callable[[Mapping[str, str]], tuple[Any, Service | None]]


def mounted(
    package: Package, modules: Mapping[str, ModuleType], around: Surroundings
) -> tuple[Mounted, ...]:
    """Make the services that ``modules`` offer, in order of their names.

    Raises:
        ArtifactError: a name or a path cannot be one, or something that is named
            like an application is none.
        Exception: whatever a constructor or a factory of the package raises.

    """
    made = [
        _make(package, offer, around.settings)
        for name, module in modules.items()
        for offer in _offers(package, name, module, around)
    ]
    return tuple(sorted(made, key=lambda one: one.mount.service))


def _make(
    package: Package, offer: _Offer, settings: Mapping[str, Mapping[str, str]]
) -> Mounted:
    own = settings.get(offer.name, _NO_SETTINGS)
    origin = package.artifact.origin
    if not _NAME.match(offer.name):
        reason = (
            f"{offer.name!r} cannot be a service's name; use letters, digits, . _ -"
        )
        raise ArtifactError(package.name, origin, reason)
    path = own.get("path", offer.path)
    try:
        mount_key(path)
    except ValueError as error:
        reason = f"the service {offer.name} cannot be mounted: {error}"
        raise ArtifactError(package.name, origin, reason) from None
    application, service = offer.make(own)
    mount = Mount(offer.name, path.rstrip("/"), package.name, origin)
    return Mounted(mount, application, service)


def _offers(
    package: Package, name: str, module: ModuleType, around: Surroundings
) -> Iterator[_Offer]:
    base = "/" + name.replace(".", "/")
    for kind in _classes(module):
        slug = kebab(kind.__name__)
        yield _Offer(
            kind.name or f"{package.name}.{slug}",
            kind.path or f"/{package.name.replace('.', '/')}/{slug}",
            _maker(kind, kind.name or f"{package.name}.{slug}", around),
        )
    application = getattr(module, "application", None)
    if application is not None:
        yield _Offer(name, base, lambda _own: (_callable(package, application), None))
    factory = getattr(module, "app_factory", None)
    if factory is not None:
        both = application is not None
        yield _Offer(
            f"{name}.app-factory" if both else name,
            f"{base}/app-factory" if both else base,
            lambda own: (
                _callable(package, factory(dict(around.global_conf), **_local(own))),
                None,
            ),
        )


def _classes(module: ModuleType) -> Iterator[type[Service]]:
    """Return the services that a module *defines*; not those that it imports."""
    seen = set()
    for kind in list(vars(module).values()):
        if (
            inspect.isclass(kind)
            and issubclass(kind, Service)
            and kind.__module__ == module.__name__
            and not kind.__name__.startswith("_")
            and not inspect.isabstract(kind)
            and (kind.handle, kind.__call__) != (Service.handle, Service.__call__)
            and kind not in seen
        ):
            seen.add(kind)
            yield kind


def _maker(
    kind: type[Service], name: str, around: Surroundings
) -> Callable[[Mapping[str, str]], tuple[Any, Service]]:
    def make(own: Mapping[str, str]) -> tuple[Any, Service]:
        service = kind.__new__(kind)
        service.settings = own
        service.resources = around.resources
        service.log = logging.getLogger(name)
        service.__init__()  # type: ignore[misc]  # after what it may want to read
        return service, service

    return make


def _local(own: Mapping[str, str]) -> dict[str, str]:
    return {key: text for key, text in own.items() if key != "path"}


def _callable(package: Package, application: object) -> object:
    if not callable(application):
        reason = (
            f"its application is {type(application).__name__}, which cannot be "
            "called; give a WSGI application (PEP 3333)"
        )
        raise ArtifactError(package.name, package.artifact.origin, reason)
    return application
