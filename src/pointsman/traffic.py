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

from itertools import count
from time import monotonic
from types import FunctionType
from typing import TYPE_CHECKING, Any, cast

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
    file: tuple[object, PinnedFile] | None = None


#: Pin to the request's path and when it came (monotonic seconds).
Pins = dict[Pin, tuple[str, float]]


class Version:
    """One loaded package, and the requests that it serves."""

    def __init__(self, loaded: Loaded) -> None:
        """Start without a request."""
        self.loaded = loaded
        self.pins: Pins = {}
        self.replaced_at: float | None = None

    def in_flight(self) -> list[tuple[str, float]]:
        """Return path and age in seconds of each request, the oldest first."""
        now = monotonic()
        found = [(path, now - since) for path, since in tuple(self.pins.values())]
        return sorted(found, key=lambda entry: -entry[1])


class Route:
    """What a path leads to; made once for each mount of each table."""

    __slots__ = ("call", "mount", "pins", "requests", "step", "version")

    def __init__(self, mount: Mount, version: Version, application: Any) -> None:
        """Lead to the WSGI ``application`` of a service of ``version``."""
        self.mount = mount
        self.version = version
        self.pins = version.pins
        self.requests = count(1)  # next() on it is one step, without a lock
        space = version.loaded.space
        self.call = _in_namespace(_call, space, application)
        self.step = _in_namespace(_step, space, application)


def _call(environ: Any, start_response: Any) -> Any:
    return application(environ, start_response)  # type: ignore[name-defined] # noqa: F821


def _step(iterator: Any) -> Any:
    return next(iterator)


def _in_namespace(function: Any, space: object, application: Any) -> Callable[..., Any]:
    """Give a function globals that carry the namespace's mark (see `callers`)."""
    scope = {"__name__": "pointsman.call", "application": application}
    if space is not None:
        scope[MARK] = space
    return FunctionType(function.__code__, scope)


class Traffic:
    """The table that requests are routed by.  `publish` from one thread at a time.

    ``table`` is the whole world of a request: one attribute, and immutable.
    """

    def __init__(self) -> None:
        """Serve nothing."""
        self.table: RouteTable[Route] = RouteTable(0, {})
        self.versions: dict[str, Version] = {}
        self._reserved: dict[str, Route] = {}

    def reserve(self, mount: Mount, loaded: Loaded, application: Any) -> None:
        """Lead a path to the host's own ``application`` in all tables from now on.

        It wins over a service at the root, and is never replaced.
        """
        route = Route(mount, Version(loaded), application)
        self._reserved[mount_key(mount.path)] = route
        self.publish(self.table.generation, self.versions)

    def publish(self, generation: int, versions: Mapping[str, Version]) -> None:
        """Switch all requests that come from now on, by one assignment."""
        routes = dict(_routes(versions, self.table))
        self.versions = dict(versions)
        self.table = RouteTable(generation, {**routes, **self._reserved})

    def in_flight(self) -> int:
        """Return how many requests the versions in the table are serving."""
        return sum(len(version.pins) for version in self.versions.values())


def _routes(
    versions: Mapping[str, Version], before: RouteTable[Route]
) -> Iterator[tuple[str, Route]]:
    """Make the routes of a table; a kept version keeps its routes, with counts."""
    known = {
        (route.version, route.mount): route
        for route, _ in before.nodes.values()
        if route is not None
    }
    counts = {key[1].service: route.requests for key, route in known.items()}
    for version in versions.values():
        for mounted in version.loaded.services:
            route = known.get((version, mounted.mount))
            if route is None:
                route = Route(mounted.mount, version, mounted.application)
                route.requests = counts.get(mounted.mount.service, route.requests)
            yield mount_key(mounted.mount.path), route


class PinnedBody:
    """A response's body that keeps its version; unpins when it is closed.

    Also when the client hangs up, when the service raises half-way, and when the
    server never calls ``close()``: then by the finalizer, which does only that.
    ``failed`` is asked for a last chunk when the service raises; it may raise.
    """

    __slots__ = ("_body", "_failed", "_iterator", "_over", "_pin", "_pins", "_step")

    def __init__(
        self,
        body: Iterable[bytes],
        route: Route,
        pin: Pin,
        failed: Callable[[BaseException], bytes],
    ) -> None:
        """Take over the pin of the request."""
        self._body = body
        self._iterator: Iterator[bytes] | None = None
        self._pins = route.pins
        self._step = route.step
        self._pin = pin
        self._failed = failed
        self._over = False

    def __iter__(self) -> PinnedBody:
        """Be iterated once."""
        return self

    def __next__(self) -> bytes:
        """Return the next chunk, from a frame of the namespace."""
        if self._over or self._pin.cut:
            if self._pin.cut and not self._over:
                message = "the version of this service was replaced long ago"
                raise TimeoutError(message)
            raise StopIteration
        try:
            if self._iterator is None:
                self._iterator = iter(self._body)
            chunk: bytes = self._step(self._iterator)
        except StopIteration:
            raise
        except Exception as error:  # noqa: BLE001 - the service's; ``failed`` logs it
            self._over = True
            return self._failed(error)
        return chunk

    def close(self) -> None:
        """Close the service's body, then unpin, whatever that raises."""
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._pins.pop(self._pin, None)

    def __del__(self) -> None:
        """Unpin; no lock, no log, no code of the service."""
        self._pins.pop(self._pin, None)


class SizedBody(PinnedBody):
    """A body that also tells its number of chunks, as PEP 3333 lets servers ask."""

    __slots__ = ()

    def __len__(self) -> int:
        """Return the number of chunks."""
        return len(self._body)  # type: ignore[arg-type]


class PinnedFile:
    """An open file that keeps its version until it is closed.

    The *file* is wrapped, and not the body, so that the server still sees its own
    ``wsgi.file_wrapper`` and sends the file the fast way.
    """

    __slots__ = ("_file", "_pin", "_pins")

    def __init__(self, file: Any) -> None:
        """Hold no pin until `keep`."""
        self._file = file
        self._pin: Pin | None = None
        self._pins: Pins | None = None

    def keep(self, pins: Pins, pin: Pin) -> None:
        """Take over the pin of the request, whose body this file is."""
        self._pins, self._pin = pins, pin

    def __getattr__(self, name: str) -> Any:
        """Be the file in all else (``seek``, ``fileno``, ``tell``)."""
        return getattr(self._file, name)

    def read(self, *size: int) -> Any:
        """Read, unless the version was cut off."""
        if self._pin is not None and self._pin.cut:
            message = "the version of this service was replaced long ago"
            raise TimeoutError(message)
        return self._file.read(*size)

    def close(self) -> None:
        """Close the file, then unpin."""
        try:
            close = getattr(self._file, "close", None)
            if close is not None:
                close()
        finally:
            self._unpin()

    def __del__(self) -> None:
        """Unpin; the file object closes itself."""
        self._unpin()

    def _unpin(self) -> None:
        if self._pins is not None and self._pin is not None:
            self._pins.pop(self._pin, None)


def wrap_file(server_wrapper: Any, pin: Pin, file: Any, *block_size: int) -> Any:
    """Be ``wsgi.file_wrapper``: the server's own, around a pinned file."""
    pinned = PinnedFile(file)
    body = server_wrapper(pinned, *block_size)
    pin.file = (body, pinned)
    return body


def pinned_body(
    body: Any, route: Route, pin: Pin, failed: Callable[[BaseException], bytes]
) -> Iterable[bytes]:
    """Return what to give to the server for a body that is no list or tuple."""
    file = pin.file
    pin.file = None
    if file is not None and file[0] is body:
        file[1].keep(route.pins, pin)
        return cast("Iterable[bytes]", body)  # the server's own, with our file in it
    kind = SizedBody if hasattr(body, "__len__") else PinnedBody
    return kind(body, route, pin, failed)
