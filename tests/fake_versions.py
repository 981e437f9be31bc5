"""Versions without code on a disk, and hosts that serve them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pointsman.model import Mount
from pointsman.traffic import Traffic, Version
from pointsman.wsgi import Host

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What all of them say that they were made of.
DIGEST = "0123456789abcdef" * 4


class FakeSpace:
    """A namespace, as far as it tells what its code may import."""

    def __init__(self, seen: Iterable[FakeSpace] = ()) -> None:
        self._seen = frozenset(seen)

    def sees(self, other: FakeSpace) -> bool:
        return other in self._seen


def version(
    package: str = "shop", space: FakeSpace | None = None, **applications: Any
) -> Version:
    """Make a version; each application is mounted at its name."""
    services = [
        SimpleNamespace(
            mount=Mount(f"{package}.{name}", f"/{name}", package, "memory"),
            application=application,
        )
        for name, application in applications.items()
    ]
    loaded: Any = SimpleNamespace(
        package=SimpleNamespace(name=package, artifact=SimpleNamespace(digest=DIGEST)),
        services=services,
        space=space,
        imports=frozenset(),
        origins={},
    )
    return Version(loaded)


def host(traffic: Traffic, kind: type[Host] = Host, *, headers: bool = False) -> Host:
    """Make a host of a traffic alone, without control surface."""
    settings = SimpleNamespace(
        control_path="/_pointsman", metrics=True, headers=headers
    )
    node: Any = SimpleNamespace(traffic=traffic, settings=settings)
    return kind(node)
