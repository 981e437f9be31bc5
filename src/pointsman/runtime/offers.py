"""Which services a package's modules offer, and under which names.  Effects.

It makes the objects when it is asked to; it calls none of their hooks.
"""

from __future__ import annotations

import inspect
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pointsman.errors import ArtifactError
from pointsman.service import Service, kebab

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from types import ModuleType

    from pointsman.model import Package
    from pointsman.runtime.services import Surroundings


@dataclass(frozen=True, slots=True)
class Offer:
    """One service that can be made.

    ``path`` is where it is mounted and ``settings`` is what it is given, as far as
    the ini says nothing else.
    """

    name: str
    path: str
    make: Callable[[Mapping[str, str]], tuple[Any, Service | None]]
    settings: tuple[tuple[str, str], ...] = ()


def offered(
    package: Package, name: str, module: ModuleType, around: Surroundings
) -> Iterator[Offer]:
    """Return what one module offers: classes, an application, a factory."""
    base = "/" + name.replace(".", "/")
    for kind in _classes(module):
        slug = kebab(kind.__name__)
        yield Offer(
            kind.name or f"{package.name}.{slug}",
            kind.path or f"/{package.name.replace('.', '/')}/{slug}",
            maker(kind, kind.name or f"{package.name}.{slug}", around),
        )
    application = getattr(module, "application", None)
    if application is not None:
        yield Offer(name, base, lambda _own: (wsgi(package, application), None))
    factory = getattr(module, "app_factory", None)
    if factory is not None:
        both = application is not None
        yield Offer(
            f"{name}.app-factory" if both else name,
            f"{base}/app-factory" if both else base,
            lambda own: (
                wsgi(package, factory(dict(around.global_conf), **local(own))),
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


def maker(
    kind: type[Service], name: str, around: Surroundings
) -> Callable[[Mapping[str, str]], tuple[Any, Service]]:
    """Return what makes a service of a class, given its settings."""

    def make(own: Mapping[str, str]) -> tuple[Any, Service]:
        service = kind.__new__(kind)
        service.settings = own
        service.resources = around.resources
        service.log = logging.getLogger(name)
        service.__init__()  # type: ignore[misc]  # after what it may want to read
        return service, service

    return make


def local(own: Mapping[str, str]) -> dict[str, str]:
    """Return the settings that a factory is given: all but the host's own."""
    return {key: text for key, text in own.items() if key != "path"}


def wsgi(package: Package, application: object) -> object:
    """Return the application.

    Raises:
        ArtifactError: it cannot be called.

    """
    if not callable(application):
        reason = (
            f"its application is {type(application).__name__}, which cannot be "
            "called; give a WSGI application (PEP 3333)"
        )
        raise ArtifactError(package.name, package.artifact.origin, reason)
    return application
