"""Pins: when a version is in use, and when it no longer is."""

from __future__ import annotations

import gc
import io
import json
from typing import TYPE_CHECKING, Any

import pytest

from fake_versions import DIGEST, host, version
from pointsman.bodies import PinnedBody
from pointsman.model import Mount
from pointsman.traffic import Traffic, Version
from site_folder import get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pointsman.wsgi import Host


class Serving:
    """A host that serves one application at ``/app``, and what it has in flight."""

    def __init__(self, body: Callable[[dict[str, Any]], Any]) -> None:
        self.started: list[str] = []
        self.version = version(app=self._application)
        self._body = body
        self.traffic = Traffic()
        self.traffic.publish(1, {"shop": self.version})
        self.host: Host = host(self.traffic)

    def _application(self, environ: dict[str, Any], start_response: Any) -> Any:
        start_response("200 OK", [])
        return self._body(environ)

    def call(self, **environ: Any) -> Any:
        """Call it as a server does; return the body, neither read nor closed."""

        def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
            if exc_info and self.started:
                raise exc_info[1]
            self.started.append(status)
            return self.started.append

        path = {"REQUEST_METHOD": "GET", "PATH_INFO": "/app"}
        return self.host({**path, **environ}, start_response)

    @property
    def pins(self) -> int:
        """Return how many requests hold the version."""
        return len(self.version.pins)


class ListSubclass(list[bytes]):
    """Runs code of the service while it is iterated."""

    def __iter__(self) -> Iterator[bytes]:
        yield from [b"late"]


class Closing:
    """A body with a ``close``, as PEP 3333 allows."""

    def __init__(self, chunks: Iterable[bytes], error: Exception | None = None) -> None:
        self.chunks = iter(chunks)
        self.error = error
        self.closed = 0

    def __iter__(self) -> Iterator[bytes]:
        return self.chunks

    def close(self) -> None:
        self.closed += 1
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("body", [[b"one"], (b"one",)])
def test_finished_bodies_are_not_wrapped(body: Any) -> None:
    """A list or a tuple goes to the server as it is, and holds nothing."""
    serving = Serving(lambda _: body)

    assert body is serving.call()
    assert 0 == serving.pins


def test_pinned_while_the_service_works() -> None:
    """While the application runs, its version says who is in it, and on which path."""
    seen: list[str] = []

    def look(environ: dict[str, Any]) -> list[bytes]:
        seen.extend(path for path, _ in serving.version.in_flight())
        return [b""]

    serving = Serving(look)
    serving.call()

    assert ["/app"] == seen


@pytest.mark.parametrize(
    "body",
    [
        lambda: iter([b"one", b"two"]),
        lambda: (chunk for chunk in [b"one", b"two"]),
        lambda: ListSubclass([b"one"]),
        lambda: {b"one": 1},
    ],
    ids=["iterator", "generator", "subclass of list", "dict"],
)
def test_other_bodies_pin_until_closed(body: Callable[[], Any]) -> None:
    """What runs code of the service while it is sent keeps the version."""
    serving = Serving(lambda _: body())

    answer = serving.call()
    before = serving.pins
    list(answer)
    read = serving.pins
    answer.close()

    assert [1, 1, 0] == [before, read, serving.pins]


def test_subclass_of_list_keeps_its_iterator() -> None:
    """The chunks are those of the subclass, not those of a list."""
    serving = Serving(lambda _: ListSubclass([b"early"]))

    assert b"late" == get(serving.host, "/app").body


def test_length_is_passed_on() -> None:
    """A body with a length still tells it, and one without has none."""
    sized = Serving(lambda _: ListSubclass([b"one", b"two"])).call()
    unsized = Serving(lambda _: iter([b"one"])).call()

    assert 2 == len(sized)
    assert not hasattr(unsized, "__len__")


def test_never_closed() -> None:
    """A server that drops a body without closing it does not hold a version."""
    serving = Serving(lambda _: iter([b"one", b"two"]))
    answer = serving.call()
    next(answer)

    del answer
    gc.collect()

    assert 0 == serving.pins


def test_client_hangs_up() -> None:
    """A body that is closed half-way closes the service's body, then unpins."""
    body = Closing([b"one", b"two"])
    serving = Serving(lambda _: body)
    answer = serving.call()
    next(answer)

    answer.close()

    assert (1, 0) == (body.closed, serving.pins)


def test_closing_twice() -> None:
    """A second close finds nothing to unpin."""
    serving = Serving(lambda _: iter([b"one"]))
    answer = serving.call()

    answer.close()
    answer.close()

    assert 0 == serving.pins


def test_close_that_raises() -> None:
    """The version is free although the service's own close failed."""
    serving = Serving(lambda _: Closing([b"one"], OSError("disk")))
    answer = serving.call()

    with pytest.raises(OSError, match="disk"):
        answer.close()

    assert 0 == serving.pins


def test_application_that_raises() -> None:
    """A service that raises leaves no pin, and the client gets a 500."""

    def fail(environ: dict[str, Any]) -> Any:
        raise LookupError("no such thing")

    serving = Serving(fail)
    answer = get(version_host(serving.version), "/app")

    assert "500 Internal Server Error" == answer.status
    assert 0 == serving.pins


def version_host(served: Version) -> Host:
    """Return another host that serves the version."""
    traffic = Traffic()
    traffic.publish(1, {"shop": served})
    return host(traffic)


def test_raising_half_way() -> None:
    """Once something was sent, an error reaches the server, which cuts the answer."""

    def half(environ: dict[str, Any]) -> Iterator[bytes]:
        yield b"one"
        raise LookupError("half-way")

    serving = Serving(half)
    answer = serving.call()
    next(answer)

    with pytest.raises(LookupError, match="half-way"):
        next(answer)
    answer.close()

    assert 0 == serving.pins
    assert [] == list(answer)


def test_none_is_no_body() -> None:
    """A service that returns None has failed; its version is free."""
    serving = Serving(lambda _: None)

    with pytest.raises(TypeError, match="returned None for a body"):
        serving.call()

    assert 0 == serving.pins


def test_cut_off() -> None:
    """A body that was told to end raises at its next step, and is closed as ever."""
    serving = Serving(lambda _: iter([b"one", b"two"]))
    answer = serving.call()
    next(answer)

    for pin in serving.version.pins:
        pin.cut = True

    with pytest.raises(TimeoutError, match="replaced long ago"):
        next(answer)
    answer.close()
    assert 0 == serving.pins


# FILES


class FileWrapper:
    """The server's file wrapper, as PEP 3333 sketches it."""

    def __init__(self, file: Any, block_size: int = 8192) -> None:
        self.file = file
        self.block_size = block_size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self.file.read(self.block_size), b"")

    def close(self) -> None:
        self.file.close()


def sending(file: Any) -> Serving:
    """Return a service that sends a file by the server's wrapper."""
    return Serving(lambda environ: environ["wsgi.file_wrapper"](file, 4))


def test_server_sees_its_own_wrapper() -> None:
    """The server gets an instance of its own class, and its fast way stays open."""
    body = sending(io.BytesIO(b"content")).call(**{"wsgi.file_wrapper": FileWrapper})

    assert FileWrapper is type(body)
    assert 4 == body.block_size


def test_file_pins_until_closed() -> None:
    """The version stays until the server closes the file."""
    serving = sending(io.BytesIO(b"content"))
    body = serving.call(**{"wsgi.file_wrapper": FileWrapper})
    before = serving.pins
    content = b"".join(body)
    body.close()

    assert (1, b"content", 0) == (before, content, serving.pins)


def test_file_is_never_closed() -> None:
    """A file that the server forgets does not hold a version."""
    serving = sending(io.BytesIO(b"content"))
    body = serving.call(**{"wsgi.file_wrapper": FileWrapper})

    del body
    gc.collect()

    assert 0 == serving.pins


def test_file_is_still_a_file() -> None:
    """What else the server asks of the file, the file itself answers."""
    body = sending(io.BytesIO(b"content")).call(**{"wsgi.file_wrapper": FileWrapper})

    body.file.seek(3)

    assert 3 == body.file.tell()
    assert b"tent" == body.file.read()


def test_file_that_cannot_be_closed() -> None:
    """Anything with ``read`` will do (PEP 3333), also without a ``close``."""

    class Readable:
        def read(self, size: int) -> bytes:
            return b""

    serving = sending(Readable())
    body = serving.call(**{"wsgi.file_wrapper": FileWrapper})

    body.close()

    assert 0 == serving.pins


def test_file_is_cut_off() -> None:
    """A file whose version must go can be read no further."""
    serving = sending(io.BytesIO(b"content"))
    body = serving.call(**{"wsgi.file_wrapper": FileWrapper})

    for pin in serving.version.pins:
        pin.cut = True

    with pytest.raises(TimeoutError, match="replaced long ago"):
        list(body)


def test_wrapped_file_in_another_body() -> None:
    """A file inside of the service's own iterator is pinned by that."""
    serving = Serving(
        lambda environ: (
            chunk for chunk in environ["wsgi.file_wrapper"](io.BytesIO(b"content"), 4)
        )
    )
    body = serving.call(**{"wsgi.file_wrapper": FileWrapper})

    assert isinstance(body, PinnedBody)
    assert 1 == serving.pins
    body.close()
    assert 0 == serving.pins


# TABLES


def test_kept_versions_keep_their_routes() -> None:
    """A new table counts on where the old one was, also for a new version."""
    traffic = Traffic()
    application = Serving(lambda _: [b""]).version.loaded.services[0].application
    first, other = version(app=application), version("other", more=application)
    traffic.publish(1, {"shop": first, "other": other})
    kept = traffic.table.match("/more")
    found = traffic.table.match("/app")
    get(host(traffic), "/app")

    traffic.publish(2, {"shop": version(app=application), "other": other})

    assert kept == traffic.table.match("/more")
    again = traffic.table.match("/app")
    assert found is not None
    assert again is not None
    assert found[0].requests is again[0].requests
    assert "count(2)" == repr(again[0].requests)


def test_in_flight_is_told_oldest_first() -> None:
    """Requests are told with their paths and ages, and counted."""
    serving = Serving(lambda _: iter([b""]))
    bodies = [serving.call(PATH_INFO=path) for path in ("/app/1", "/app/2")]

    found = serving.version.in_flight()

    assert ["/app/1", "/app/2"] == [path for path, _ in found]
    assert found[0][1] >= found[1][1] >= 0
    assert 2 == serving.traffic.in_flight() == len(bodies)


# STOPPED SERVICES


def two_services(first: Any, second: Any) -> tuple[Traffic, Version]:
    """Serve two applications of one package, at ``/first`` and ``/second``."""
    traffic, served = Traffic(), version(first=first, second=second)
    traffic.publish(1, {"shop": served})
    return traffic, served


def saying(word: bytes) -> Any:
    """Return an application that answers a word."""

    def application(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [word]

    return application


FIRST = frozenset({"shop.first"})


def test_stopped_service_answers_503() -> None:
    """A stopped service says so, and when to try again; its neighbours go on."""
    traffic, served = two_services(saying(b"1"), saying(b"2"))

    traffic.publish(2, {"shop": served}, stopped=FIRST)
    answer = get(host(traffic), "/first/x")

    assert "503 Service Unavailable" == answer.status
    assert ("30", "application/problem+json") == (
        answer.headers["Retry-After"],
        answer.headers["Content-Type"],
    )
    assert "the service shop.first is stopped" == json.loads(answer.body)["detail"]
    assert "2" == get(host(traffic), "/second").text
    assert traffic.stopped == FIRST


def test_stopped_answers_do_not_share_headers() -> None:
    """A server or a middleware that adds to the headers adds to its own."""
    traffic, served = two_services(saying(b"1"), saying(b"2"))
    traffic.publish(2, {"shop": served}, stopped=FIRST)
    lists: list[Any] = []

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        headers.append(("X-Middleware", "yes"))
        lists.append(headers)

    for _ in range(2):
        host(traffic)({"PATH_INFO": "/first"}, start_response)

    assert len(lists[0]) == len(lists[1])


def test_running_requests_of_a_stopped_service_finish() -> None:
    """What has begun before the stop ends on its version, which is kept."""
    traffic, served = two_services(lambda *_: iter([b"a", b"b"]), saying(b"2"))
    served_by: Any = host(traffic)
    body = served_by({"PATH_INFO": "/first"}, lambda *_: None)
    begun = next(body)

    traffic.publish(2, {"shop": served}, stopped=FIRST)
    rest = list(body)
    held = len(served.pins)
    body.close()

    assert (b"a", [b"b"], 1, 0) == (begun, rest, held, len(served.pins))


def test_started_service_comes_back_with_its_count() -> None:
    """Stopping and starting again leaves the count of a service's requests."""
    traffic, served = two_services(saying(b"1"), saying(b"2"))
    get(host(traffic), "/first")
    traffic.publish(2, {"shop": served}, stopped=FIRST)
    get(host(traffic), "/first")

    traffic.publish(3, {"shop": served})
    answer = get(host(traffic), "/first")

    route = traffic.table.match("/first")
    assert route is not None
    assert ("1", "count(4)") == (answer.text, repr(route[0].requests))
    assert frozenset() == traffic.stopped


def test_stopped_service_stays_stopped_when_it_is_updated() -> None:
    """A new version of the package changes nothing about a stop."""
    traffic, _ = two_services(saying(b"1"), saying(b"2"))
    updated = version(first=saying(b"new"), second=saying(b"new"))

    traffic.publish(2, {"shop": updated}, stopped=FIRST)
    served = host(traffic)

    assert "503 Service Unavailable" == get(served, "/first").status
    assert "new" == get(served, "/second").text


def test_reserving_keeps_what_is_stopped() -> None:
    """The host's own paths come without starting anything."""
    traffic, served = two_services(saying(b"1"), saying(b"2"))
    traffic.publish(2, {"shop": served}, stopped=FIRST, number=7)
    mount = Mount("own", "/own", "own", "memory")

    traffic.reserve(mount, version("own").loaded, saying(b"own"))

    assert (FIRST, 7) == (traffic.stopped, traffic.table.number)
    assert "503 Service Unavailable" == get(host(traffic), "/first").status
    assert "own" == get(host(traffic), "/own").text


# WHO HAS ANSWERED


def test_answers_say_who_answered() -> None:
    """The ledger's number and the artifact's digest are in every answer."""
    traffic, served = two_services(saying(b"1"), saying(b"2"))
    traffic.publish(2, {"shop": served}, number=41)
    stamping = host(traffic, headers=True)
    first = get(stamping, "/first")
    traffic.publish(3, {"shop": served}, number=42)
    traffic.publish(4, {"shop": served})

    assert ("41", f"sha256:{DIGEST}") == who(first)
    assert ("42", f"sha256:{DIGEST}") == who(get(stamping, "/first"))
    assert "text/plain" == first.headers["Content-Type"]


def who(answer: Any) -> tuple[str | None, str | None]:
    """Return the two headers of an answer."""
    headers = answer.headers
    return headers.get("Pointsman-Generation"), headers.get("Pointsman-Digest")


def test_generation_is_that_of_the_table() -> None:
    """A request that began before a switch says the generation that it began in."""
    traffic = Traffic()

    def slow(environ: Any, start_response: Any) -> list[bytes]:
        traffic.publish(2, {"shop": served}, number=2)
        start_response("200 OK", [])
        return [b""]

    served = version(app=slow)
    traffic.publish(1, {"shop": served}, number=1)
    stamping = host(traffic, headers=True)

    assert ["1", "2"] == [who(get(stamping, "/app"))[0] for _ in range(2)]


def test_answers_of_the_host_do_not_say_it() -> None:
    """What the host answers itself is of no generation; what it says of a stop is."""
    traffic, served = two_services(saying(b"1"), saying(b"2"))
    mount = Mount("own", "/own", "own", "memory")
    traffic.reserve(mount, version("own").loaded, saying(b"own"))
    traffic.publish(2, {"shop": served}, stopped=FIRST, number=5)
    stamping = host(traffic, headers=True)

    assert (None, None) == who(get(stamping, "/own"))
    assert (None, None) == who(get(stamping, "/nothing"))
    assert ("5", None) == who(get(stamping, "/first"))


def test_failing_services_say_it() -> None:
    """A 500 names the artifact that has failed, also when it fails late."""

    def early(environ: Any, start_response: Any) -> Any:
        raise LookupError("early")

    def late(environ: Any, start_response: Any) -> Iterator[bytes]:
        start_response("200 OK", [("Pointsman-Digest", "none")])
        if environ:
            raise LookupError("late")
        yield b""

    traffic, served = two_services(early, late)
    traffic.publish(2, {"shop": served}, number=5)
    stamping = host(traffic, headers=True)

    for path in ("/first", "/second"):
        answer = get(stamping, path)
        assert "500 Internal Server Error" == answer.status
        assert ("5", f"sha256:{DIGEST}") == who(answer)


def test_headers_can_be_turned_off() -> None:
    """Without headers the server's own start_response reaches the service."""
    given: list[Any] = []

    def application(environ: Any, start_response: Any) -> list[bytes]:
        given.append(start_response)
        return [b""]

    traffic = Traffic()
    traffic.publish(1, {"shop": version(app=application)})

    def start_response(status: str, headers: Any, exc_info: Any = None) -> Any:
        return None

    host(traffic)({"PATH_INFO": "/app"}, start_response)

    assert [start_response] == given
