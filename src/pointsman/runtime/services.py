"""The services of a package, made, and where they are reached.  Effects.

It makes the objects; it calls none of their hooks.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pointsman.errors import ArtifactError
from pointsman.model import Mount
from pointsman.routing import mount_key
from pointsman.runtime.declarations import declared, module_of
from pointsman.runtime.offers import offered

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import ModuleType

    from pointsman.model import Package
    from pointsman.runtime.offers import Offer
    from pointsman.service import Service

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


def mounted(
    package: Package,
    modules: Mapping[str, ModuleType],
    used: Mapping[str, ModuleType],
    around: Surroundings,
) -> tuple[Mounted, ...]:
    """Make the services that ``modules`` offer, in order of their names.

    And those that its manifest declares; ``used`` has the modules of those by name.

    Raises:
        ArtifactError: a name or a path cannot be one, or something that is named
            like an application is none.
        Exception: whatever a constructor or a factory of the package raises.

    """
    offers = [
        offer
        for name, module in modules.items()
        for offer in offered(package, name, module, around)
    ]
    offers += [
        declared(package, one, used[module_of(one)], around) for one in package.declared
    ]
    made = [_make(package, offer, around.settings) for offer in offers]
    return tuple(sorted(made, key=lambda one: one.mount.service))


def _make(
    package: Package, offer: Offer, settings: Mapping[str, Mapping[str, str]]
) -> Mounted:
    own = settings.get(offer.name, _NO_SETTINGS)
    if offer.settings:
        own = MappingProxyType({**dict(offer.settings), **own})
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
