"""What the host adds to one call of a service's WSGI application.

In this process, without a server: an application that returns ``[b"ok"]`` is called
as it is, through a host, and through ``paste.urlmap``.  Every variant is measured in
every round, in turn, and its fastest rounds count: what else the machine does can
only add.  Each call gets an environ of its own, as from a server; copying it is part
of the bare call, and so subtracted.
"""

from __future__ import annotations

import gc
import io
import statistics
from dataclasses import dataclass
from time import perf_counter
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from paste.urlmap import URLMap

from perf.table import Table, ratio
from pointsman.model import Artifact, Kind, Mount, Package
from pointsman.traffic import Traffic, Version
from pointsman.wsgi import Host

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

MANY = 10_000
APPLICATIONS = 10
_CALLS = 1_000  # per measurement
_TOLERANCE = 1.2


def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
    """Be the smallest WSGI application."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"ok"]


def measure(*, quick: bool = False) -> list[Table]:
    """Measure all variants, and return one table for each kind of environ."""
    rounds = 60 if quick else 400
    tables = []
    for wrapped in (True, False):
        shapes = [(2, 2), (2, 8), (8, 8)]
        rows = [_row(mount, path, rounds, wrapped=wrapped) for mount, path in shapes]
        tables.append(_table(rows, wrapped=wrapped))
    return tables


@dataclass(frozen=True)
class _Row:
    mount: int
    path: int
    bare: float
    one: float
    many: float
    spread: float
    plain: float
    urlmap: float


def _table(rows: Iterable[_Row], *, wrapped: bool) -> Table:
    which = "with" if wrapped else "without"
    return Table(
        f"call: added to one call, in microseconds, {which} wsgi.file_wrapper",
        (
            "segments of mount/path",
            "bare call",
            "host, 1 service",
            f"host, {MANY:,}",
            f"{MANY:,} / 1",
            f"all {MANY:,} in turn",
            "headers = no",
            f"urlmap, {APPLICATIONS}",
            "host / urlmap",
        ),
        tuple(
            (
                f"{row.mount}/{row.path}",
                row.bare * 1e6,
                row.one * 1e6,
                row.many * 1e6,
                ratio(row.many, row.one),
                row.spread * 1e6,
                row.plain * 1e6,
                row.urlmap * 1e6,
                ratio(row.many, row.urlmap),
            )
            for row in rows
        ),
        (
            "metrics and headers are on; calls go to ten services in turn, but for the",
            "column “in turn”, which shows what it costs when no route is in the cache",
            f"“headers = no” is the host with {MANY:,} services again",
            f"targets: {MANY:,} / 1 at most {_TOLERANCE}x, host / urlmap below 1x",
        ),
    )


def _row(mount: int, path: int, rounds: int, *, wrapped: bool) -> _Row:
    many = _mounts(MANY, mount)
    ten = many[:: MANY // APPLICATIONS]
    tail = "/x" * (path - mount)
    requested = [one + tail for one in ten]
    urlmap = URLMap()
    for each in ten:
        urlmap[each] = application
    host = _host(many)
    variants = [
        _Variant(application, requested, wrapped=wrapped),
        _Variant(_host(ten[:1]), requested[:1] * APPLICATIONS, wrapped=wrapped),
        _Variant(host, requested, wrapped=wrapped),
        _Variant(host, [one + tail for one in many], wrapped=wrapped),
        _Variant(_host(many, headers=False), requested, wrapped=wrapped),
        _Variant(urlmap, requested, wrapped=wrapped),
    ]
    gc.collect()
    gc.freeze()
    for _ in range(rounds):
        for variant in variants:
            variant.once()
    gc.unfreeze()
    bare, *rest = (variant.seconds() for variant in variants)
    return _Row(mount, path, bare, *(seconds - bare for seconds in rest))


class _Variant:
    """One application under test, and how long its calls took."""

    def __init__(
        self, called: Callable[..., Any], paths: Sequence[str], *, wrapped: bool
    ) -> None:
        self._called = called
        self._environs = [_environ(path, wrapped=wrapped) for path in paths]
        self._next = 0
        self._took: list[float] = []

    def once(self) -> None:
        environs = self._slice()
        called, start_response = self._called, _start_response
        begun = perf_counter()
        for environ in environs:
            called(environ.copy(), start_response)
        self._took.append((perf_counter() - begun) / len(environs))

    def _slice(self) -> list[dict[str, Any]]:
        start = self._next
        self._next = (start + _CALLS) % len(self._environs)
        if len(self._environs) >= _CALLS:
            return self._environs[start : start + _CALLS]
        return self._environs * (_CALLS // len(self._environs))

    def seconds(self) -> float:
        """Return the median of the fastest tenth."""
        ordered = sorted(self._took)
        return statistics.median(ordered[: max(1, len(ordered) // 10)])


def _mounts(number: int, segments: int) -> list[str]:
    middle = "/area" * (segments - 2)
    return [f"/shop{middle}/service-{each:05d}" for each in range(number)]


def _host(mounts: Sequence[str], *, headers: bool = True) -> Host:
    """Make a host of services that were never on a disk."""
    services = [
        SimpleNamespace(
            mount=Mount(f"s{n}", path, "shop", "memory"), application=application
        )
        for n, path in enumerate(mounts)
    ]
    package = Package("shop", Artifact("shop", Kind.MODULE, {"shop.py": b""}))
    loaded: Any = SimpleNamespace(
        package=package, space=None, services=services, imports=frozenset(), origins={}
    )
    traffic = Traffic()
    traffic.publish(1, {"shop": Version(loaded)})
    settings = SimpleNamespace(
        control_path="/_pointsman", metrics=True, headers=headers
    )
    node: Any = SimpleNamespace(traffic=traffic, settings=settings)
    return Host(node)


def _start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
    return None


def _environ(path: str, *, wrapped: bool) -> dict[str, Any]:
    """Return what waitress would pass for a request with a browser's headers."""
    environ = {
        "REMOTE_ADDR": "127.0.0.1",
        "REMOTE_HOST": "127.0.0.1",
        "REMOTE_PORT": "40000",
        "REQUEST_METHOD": "GET",
        "SERVER_PORT": "8080",
        "SERVER_NAME": "localhost",
        "SERVER_SOFTWARE": "waitress",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "REQUEST_URI": path,
        "QUERY_STRING": "",
        "HTTP_HOST": "localhost:8080",
        "HTTP_ACCEPT": "text/html",
        "HTTP_ACCEPT_LANGUAGE": "en",
        "HTTP_USER_AGENT": "bench",
        "wsgi.url_scheme": "http",
        "wsgi.version": (1, 0),
        "wsgi.errors": io.StringIO(),
        "wsgi.input": io.BytesIO(),
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if wrapped:
        environ["wsgi.file_wrapper"] = _FileWrapper
    return environ


class _FileWrapper:
    """Stands for the server's own."""
