"""The services that a manifest declares, from ``module:callable`` on.  Effects.

It looks the object up and makes it when it is asked to; it calls none of its hooks.
"""

from __future__ import annotations

import inspect
import logging
from typing import TYPE_CHECKING, Any

from pointsman.errors import ArtifactError, did_you_mean
from pointsman.model import Kind
from pointsman.runtime.offers import Offer, local, maker, wsgi
from pointsman.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import ModuleType

    from pointsman.model import Declared, Package
    from pointsman.runtime.services import Surroundings

_MOST_TOLD = 10  # names of what is there instead


def module_of(one: Declared) -> str:
    """Return the name of the module that a declared service is in."""
    return one.use.partition(":")[0]


def missing_module(
    package: Package, one: Declared, names: Iterable[str]
) -> ArtifactError:
    """Return the error for a module that is not among ``names``, the package's."""
    known = sorted(names)
    near = did_you_mean(module_of(one), known)
    instead = near or f"; it has {_some(known) or 'no module at all'}"
    return _error(package, one, f"there is no module {module_of(one)!r}{instead}")


def declared(
    package: Package, one: Declared, module: ModuleType, around: Surroundings
) -> Offer:
    """Return a declared service as an offer; ``module`` is that of its ``use``.

    Raises:
        ArtifactError: there is nothing of that name, or it is no service.
        Exception: whatever looking it up in the package's code raises.

    """
    found = _found(package, one, module)
    default = "/" + one.name.replace(".", "/")
    make: Callable[[Mapping[str, str]], tuple[Any, Service | None]]
    if inspect.isclass(found) and issubclass(found, Service):
        _check_class(package, one, found)
        default = found.path or default
        make = maker(found, one.name, around)
    elif one.factory:
        _check_factory(package, one, found)
        make = _factory(package, found, around)
    elif isinstance(found, Service):
        make = _given(found, one.name, around)
    else:
        _check_application(package, one, found)
        make = _ready(found)
    return Offer(one.name, one.path or default, make, one.settings)


def _found(package: Package, one: Declared, module: ModuleType) -> Any:
    found: Any = module
    where = module_of(one)
    for name in one.use.partition(":")[2].split("."):
        inside = found
        found = getattr(inside, name, _NOTHING)
        if found is _NOTHING:
            raise _error(package, one, _instead(where, name, inside))
        where = f"{where}.{name}"
    if not callable(found):
        kind = type(found).__name__
        raise _error(package, one, f"{where} is a {kind}, which cannot be called")
    return found


_NOTHING = object()


def _instead(where: str, name: str, inside: object) -> str:
    """Say what there is where ``name`` is not."""
    known = [
        key
        for key, value in list(getattr(inside, "__dict__", {}).items())
        if not key.startswith("_") and callable(value)
    ]
    near = did_you_mean(name, known)
    there = near or f"; it has {_some(known) or 'nothing that can be called'}"
    return f"{where} has no {name!r}{there}"


def _some(names: list[str]) -> str:
    more = ", ..." if len(names) > _MOST_TOLD else ""
    return ", ".join(names[:_MOST_TOLD]) + more


def _check_class(package: Package, one: Declared, kind: type[Service]) -> None:
    if one.factory:
        raise _error(package, one, "it is a Service class; take factory = yes out")
    if (kind.handle, kind.__call__) == (Service.handle, Service.__call__):
        raise _error(package, one, "it is a Service class without handle()")
    if inspect.isabstract(kind):
        raise _error(package, one, "it is an abstract class")


def _check_application(package: Package, one: Declared, found: Any) -> None:
    """Refuse what cannot be called as WSGI does, as far as that shows."""
    signature = _signature(found)
    try:
        if signature is not None:
            signature.bind(None, None)
    except TypeError:
        reason = (
            f"it is called as {signature}, and a WSGI application takes environ and "
            "start_response; if it makes one, write factory = yes"
        )
        raise _error(package, one, reason) from None


def _check_factory(package: Package, one: Declared, found: Any) -> None:
    signature = _signature(found)
    try:
        if signature is not None:
            signature.bind_partial(None)
    except TypeError:
        reason = (
            f"it is called as {signature}, and a factory takes global_conf and its "
            "settings: def app_factory(global_conf, **local_conf)"
        )
        raise _error(package, one, reason) from None


def _signature(found: Any) -> inspect.Signature | None:
    try:
        return inspect.signature(found)
    except (TypeError, ValueError):  # of C code, say
        return None


def _factory(
    package: Package, factory: Any, around: Surroundings
) -> Callable[[Mapping[str, str]], tuple[Any, Service | None]]:
    def make(own: Mapping[str, str]) -> tuple[Any, Service | None]:
        made = factory(dict(around.global_conf), **local(own))
        return wsgi(package, made), made if isinstance(made, Service) else None

    return make


def _given(
    service: Service, name: str, around: Surroundings
) -> Callable[[Mapping[str, str]], tuple[Any, Service | None]]:
    def make(own: Mapping[str, str]) -> tuple[Any, Service | None]:
        service.settings = own
        service.resources = around.resources
        service.log = logging.getLogger(name)
        return service, service

    return make


def _ready(
    application: Any,
) -> Callable[[Mapping[str, str]], tuple[Any, Service | None]]:
    return lambda _own: (application, None)


def _error(package: Package, one: Declared, reason: str) -> ArtifactError:
    if package.artifact.kind is Kind.WHEEL:
        place = f"entry_points.txt [pointsman.services] {one.name} = {one.use}"
    else:
        place = f"service.ini [service:{one.name}] use = {one.use}"
    return ArtifactError(package.name, package.artifact.origin, f"{place}: {reason}")
