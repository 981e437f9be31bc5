"""No request is lost: pins, and when a replaced version may end.  Engine.

The protocol is that of hazard pointers (Michael, *Hazard Pointers: Safe Memory
Reclamation for Lock-Free Objects*, IEEE TPDS 15(6), 2004), without locks:

=========================  ==============================
a request                  a deployment
=========================  ==============================
reads the table
pins the version in it
reads the table again      publishes the new table
if it has changed: unpins  *then* waits until the pins of
and starts over            the old versions are gone
=========================  ==============================

A request that pinned too late sees the new table on its second look; one that
pinned in time is seen by whoever waits.  Setting and deleting a dictionary's key
is one step under the interpreter's lock.
"""

from __future__ import annotations

import builtins
from itertools import count
from time import monotonic
from types import FunctionType
from typing import TYPE_CHECKING, Any

from pointsman import answers
from pointsman.namespace.callers import MARK
from pointsman.routing import RouteTable, mount_key

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pointsman.model import Mount
    from pointsman.runtime.inprocess import Loaded


class Pin:
    """What one request holds, so that its version stays until the last byte.

    ``cut`` asks the response's body to end at its next step; ``file`` is the body
    made by ``wsgi.file_wrapper``, with the file in it.  Both are rare, so they are
    of the class until they are set: making a pin must cost next to nothing.
    """

    cut: bool = False
    file: tuple[object, Any] | None = None


#: Pin to the request's path and when it came (monotonic seconds).
Pins = dict[Pin, tuple[str, float]]


class Version:
    """One loaded package, and the requests that it serves."""

    def __init__(self, loaded: Loaded) -> None:
        """Start without a request."""
        self.loaded = loaded
        self.pins: Pins = {}
        self.replaced_at: float | None = None
        self.routes: tuple[tuple[str, Route], ...] | None = None  # by mount path

    def in_flight(self) -> list[tuple[str, float]]:
        """Return path and age in seconds of each request, the oldest first."""
        now = monotonic()
        found = [(path, now - since) for path, since in tuple(self.pins.values())]
        return sorted(found, key=lambda entry: -entry[1])


class Route:
    """What a path leads to; made once for each mount of each version.

    ``stamp`` is what its answers say of who answers (`answers.stamp_of`), empty for
    the host's own.  Its first place has the header of the table that it was last
    used with; whoever finds another there puts that of its own table in.
    """

    __slots__ = (
        "call",
        "mount",
        "pins",
        "requests",
        "stamp",
        "stopped",
        "version",
        "within",
    )

    def __init__(
        self,
        mount: Mount,
        version: Version,
        application: Any,
        stamp: tuple[answers.Header, ...] = (),
        *,
        stopped: bool = False,
    ) -> None:
        """Lead to the WSGI ``application`` of a service of ``version``.

        Where it is ``stopped``, the application is the host's.
        """
        self.mount = mount
        self.version = version
        self.pins = version.pins
        self.stamp = stamp
        self.stopped = stopped
        self.requests = count(1)  # next() on it is one step, without a lock
        space = None if stopped else version.loaded.space
        self.call = _in_namespace(_call, space, application, mount.service)
        self.within = _in_namespace(_within, space, application, mount.service)


def _call(environ: Any, start_response: Any) -> Any:
    return application(environ, start_response)  # type: ignore[name-defined] # noqa: F821


def _within(function: Any) -> Any:
    return function()


def _in_namespace(
    function: Any, space: object, application: Any, service: str
) -> Callable[..., Any]:
    """Give a function globals that carry the namespace's mark (see `callers`).

    And the service's name, for who looks at the stacks of threads.
    """
    scope = {
        "__name__": "pointsman.call",
        "application": application,
        "service": service,
        "__builtins__": builtins,
    }
    if space is not None:
        scope[MARK] = space
    return FunctionType(function.__code__, scope)


class Traffic:
    """The table that requests are routed by.  `publish` from one thread at a time.

    ``table`` is the whole world of a request: one attribute, and immutable.
    ``stopped`` are the names of services that answer 503, whether or not they are in
    one of the ``versions`` just now.
    """

    def __init__(self) -> None:
        """Serve nothing."""
        self.table: RouteTable[Route] = RouteTable(0, {})
        self.versions: dict[str, Version] = {}
        self.stopped: frozenset[str] = frozenset()
        self._mounted: dict[str, Route] = {}  # what the table leads to, of services
        self._reserved: dict[str, Route] = {}

    def reserve(self, mount: Mount, loaded: Loaded, application: Any) -> None:
        """Lead a path to the host's own ``application`` in all tables from now on.

        It wins over a service at the root, and is never replaced.
        """
        route = Route(mount, Version(loaded), application)
        self._reserved[mount_key(mount.path)] = route
        self.publish(self.table.generation, self.versions, stopped=self.stopped)

    def publish(
        self,
        generation: int,
        versions: Mapping[str, Version],
        *,
        stopped: frozenset[str] = frozenset(),
        number: int | None = None,
    ) -> None:
        """Switch all requests that come from now on, by one assignment.

        The services named by ``stopped`` answer 503 from then on; what runs in them
        finishes.  ``number`` is the generation as the ledger counts; without it, that
        of the table before stays.
        """
        before = self.table
        self._mounted = self._mounts(versions, stopped)
        self.versions = dict(versions)
        self.stopped = stopped
        self.table = RouteTable(
            generation,
            {**self._mounted, **self._reserved},
            before.number if number is None else number,
            like=before,
        )

    def _mounts(
        self, versions: Mapping[str, Version], stopped: frozenset[str]
    ) -> dict[str, Route]:
        """Return all routes; a kept version keeps its routes, with counts."""
        same = stopped == self.stopped
        before = self.versions if same else {}
        mounts = dict(self._mounted) if same else {}
        for name, version in before.items():
            if versions.get(name) is not version:
                for path, _ in version.routes or ():
                    mounts.pop(path, None)
        for name, version in versions.items():
            if before.get(name) is not version:
                last = self.versions.get(name) or version
                if version.routes is None or not _are_right(version.routes, stopped):
                    version.routes = tuple(_made(version, stopped, _counts(last)))
                mounts.update(version.routes)
        return mounts

    def in_flight(self) -> int:
        """Return how many requests the versions in the table are serving."""
        return sum(len(version.pins) for version in self.versions.values())


def _are_right(routes: Iterable[tuple[str, Route]], stopped: frozenset[str]) -> bool:
    """Tell whether just those services answer that they are stopped that are."""
    return all(route.stopped is (route.mount.service in stopped) for _, route in routes)


def _counts(version: Version) -> dict[str, Any]:
    """Return the counter of each of its services."""
    return {route.mount.service: route.requests for _, route in version.routes or ()}


def _made(
    version: Version, stopped: frozenset[str], counts: Mapping[str, Any]
) -> Iterator[tuple[str, Route]]:
    for mounted in version.loaded.services:
        mount = mounted.mount
        route = _route(mount, version, mounted.application, stopped)
        route.requests = counts.get(mount.service, route.requests)
        yield mount_key(mount.path), route


def _route(
    mount: Mount, version: Version, application: Any, stopped: frozenset[str]
) -> Route:
    if mount.service in stopped:
        away = answers.stopped(mount.service)
        return Route(mount, version, away, answers.stamp_of(), stopped=True)
    digest = version.loaded.package.artifact.digest
    return Route(mount, version, application, answers.stamp_of(digest))
