"""Bodies of responses that keep their version until the last byte.  Engine.

What is done when the application returns, a list or a tuple, needs none of this.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pointsman.traffic import Pin, Pins, Route


class PinnedBody:
    """A response's body that keeps its version; unpins when it is closed.

    Also when the client hangs up, when the service raises half-way, and when the
    server never calls ``close()``: then by the finalizer, which does only that.
    ``failed`` is asked for a last chunk when the service raises; it may raise.
    """

    __slots__ = ("_body", "_failed", "_next", "_over", "_pin", "_pins", "_within")

    def __init__(
        self,
        body: Iterable[bytes],
        route: Route,
        pin: Pin,
        failed: Callable[[BaseException], bytes],
    ) -> None:
        """Take over the pin of the request."""
        self._body = body
        self._next: Callable[[], bytes] | None = None
        self._pins = route.pins
        self._within = route.within
        self._pin = pin
        self._failed = failed
        self._over = False

    @property
    def path(self) -> str:
        """Return the path of the request, "" when it is over."""
        return self._pins.get(self._pin, ("", 0.0))[0]

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
            if self._next is None:
                self._next = self._within(partial(iter, self._body)).__next__
            chunk: bytes = self._within(self._next)
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
                self._within(close)
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
