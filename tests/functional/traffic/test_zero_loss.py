"""No request is lost, cut, torn, or served by a version that has ended.

Two tests.  The first one runs the real thing: a serving process, clients in another
process, and reloads under their load.  It shows that nothing else than the protocol
of `pointsman.traffic` is in the way, but not that the protocol is right: the window
in which a request could go wrong, between reading the table and pinning the version,
is some hundred nanoseconds wide.

The second one opens that window.  Its table sleeps in ``match``, so every request
stands in the window for up to a millisecond, while versions are published, retired
and ended hundreds of times.  An ended version is marked, and a request that is in a
marked version is a loss.

That this finds what it is for is tested as well, by running the same with a mutant
of the real source.  Each of these loses requests, and is found out:

* the table is not read again after pinning;
* the table is read again, but what it says is taken for good the second time;
* the version is unpinned before the body was sent;
* the replaced versions are retired before the new table is published;
* a version with requests in it counts as drained;
* a version that was found due is ended although it was taken back since.
"""

from __future__ import annotations

import inspect
import operator
import random
import sys
import textwrap
import threading
import time
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from fake_versions import host, version
from perf import sources
from perf.crowd import crowd
from perf.host import hosting
from perf.load import plans
from pointsman import retirement, traffic, wsgi
from pointsman.retirement import Retired, Retirement
from pointsman.routing import RouteTable
from pointsman.traffic import Traffic, Version
from pointsman.wsgi import Host
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RELOADS = 20
SWITCHES = 300
CLIENTS = 6
#: How long a request stands between reading the table and pinning, at most.
WINDOW = 0.001


def test_nothing_is_lost_under_load(tmp_path: Path) -> None:
    """Plain, streamed, uploaded and file bodies come whole, from one version each."""
    sources.package(tmp_path, 0)
    with hosting(
        tmp_path / "service-sources.txt", rehearse=False, threads=16
    ) as server:
        with crowd(server.port, plans()) as clients:
            for number in range(1, RELOADS + 1):
                sources.package(tmp_path, number)
                server.reload()
            last = str(RELOADS)
            wait_for(lambda: last in server.get("/shop/plain"), "the last one answers")
            answers = clients.stop()

    assert [] == answers.failed
    assert [] == answers.torn
    assert {"plain", "stream", "upload", "file", "slow"} == {
        answer.kind for answer in answers.all
    }
    assert len(answers.versions) > 2


class WideTable(RouteTable[Any]):
    """A table that lets everybody else go first, between reading it and pinning."""

    __slots__ = ()

    def match(self, path: str) -> tuple[Any, int] | None:
        found = super().match(path)
        time.sleep(random.random() * WINDOW)
        return found


class Book:
    """Serves marked versions, and notes who was in one that had ended."""

    def __init__(self) -> None:
        self.ended: set[int] = set()
        self.answered = 0
        self.losses = 0

    def version(self, number: int) -> Version:
        """Make a version whose answer takes a moment, as a list and as a stream."""

        def check() -> None:
            self.losses += number in self.ended

        def plain(environ: dict[str, Any], start_response: Any) -> list[bytes]:
            check()
            time.sleep(WINDOW / 4)
            check()
            start_response("200 OK", [])
            return [b"%d" % number]

        def stream(environ: dict[str, Any], start_response: Any) -> Iterator[bytes]:
            start_response("200 OK", [])
            for _ in range(3):
                check()
                time.sleep(WINDOW / 4)
                yield b"%d" % number

        made = version(plain=plain, stream=stream)
        vars(made)["number"] = number
        return made

    def end(self, one: Version) -> None:
        """Mark a version."""
        self.ended.add(vars(one)["number"])


def switched(kind: type[Host] = Host, *, retire_first: bool = False) -> Book:
    """Switch versions under clients that stand in the window; return what happened."""
    book = Book()
    tracks = Traffic()
    current = book.version(0)
    tracks.publish(0, {"shop": current})
    retiring = Retirement(book.end, keep_warm=0.0, timeout=3600.0)
    with asking(host(tracks, kind), book):
        for number in range(1, SWITCHES + 1):
            replaced, current = current, book.version(number)
            if retire_first:
                retiring.add([replaced])
                time.sleep(WINDOW / 2)
            tracks.publish(number, {"shop": current})
            if not retire_first:
                retiring.add([replaced])
            time.sleep(WINDOW * 2 * random.random())
    wait_for(lambda: not retiring.waiting(), "all replaced versions end")
    retiring.close()
    return book


class SlowRetirement(Retirement):
    """Takes a moment between finding a version due and ending it."""

    def _due(self) -> list[Retired]:
        due = super()._due()
        if due:
            time.sleep(random.random() * WINDOW * 10)
        return due


class Careless(SlowRetirement):
    """Ends what was found due without looking again."""

    def _finish(self, one: Retired) -> None:
        self._end(one.version)
        with self._wake:
            if one in self._waiting:
                self._waiting.remove(one)


def switched_and_back(kind: type[Retirement]) -> tuple[Book, int]:
    """Switch, and serve the replaced version again if it is still there."""
    book = Book()
    tracks = Traffic()
    current = book.version(0)
    tracks.publish(0, {"shop": current})
    retiring = kind(book.end, keep_warm=0.0, timeout=3600.0)
    taken_back = 0
    with asking(host(tracks), book):
        for number in range(1, SWITCHES // 2):
            replaced, current = current, book.version(number)
            tracks.publish(number, {"shop": current})
            retiring.add([replaced])
            time.sleep(WINDOW * 10 * random.random())
            taken = retiring.take_back(partial(operator.is_, replaced))
            if taken is not None:
                taken_back += 1
                tracks.publish(number, {"shop": taken})
                retiring.add([current])
                current = taken
                time.sleep(WINDOW * 3)
    wait_for(lambda: not retiring.waiting(), "all replaced versions end")
    retiring.close()
    return book, taken_back


@contextmanager
def asking(served: Host, book: Book) -> Iterator[None]:
    """Let all clients ask until the end of the block."""
    over = threading.Event()
    threads = [
        threading.Thread(target=ask, args=(served, book, over)) for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        over.set()
        for thread in threads:
            thread.join()


def ask(served: Host, book: Book, over: threading.Event) -> None:
    """Be a client that asks as fast as it is answered."""
    while not over.is_set():
        for path in ("/plain", "/stream"):
            environ: dict[str, Any] = {"PATH_INFO": path, "REQUEST_METHOD": "GET"}
            body = served(environ, lambda *_: lambda _: None)
            list(body)
            if hasattr(body, "close"):
                body.close()
            book.answered += 1


@pytest.fixture(name="_wide")
def _wide_window(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(traffic, "RouteTable", WideTable)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("_wide")
def test_nobody_is_in_an_ended_version() -> None:
    """However long requests stand in the window, no version ends with one in it."""
    book = switched()

    assert 0 == book.losses
    assert SWITCHES == len(book.ended)
    assert book.answered > SWITCHES


def mutant(original: str, changed: str) -> type[Host]:
    """Return a host whose ``__call__`` has one thing changed in its source."""
    source = textwrap.dedent(inspect.getsource(Host.__call__))
    assert 1 == source.count(original), f"{original!r} is not in Host.__call__ once"
    scope: dict[str, Any] = {}
    code = "from __future__ import annotations\n" + source.replace(original, changed)
    exec(compile(code, "mutant", "exec"), vars(wsgi), scope)
    return type("Mutant", (Host,), {"__call__": scope["__call__"]})


SECOND_LOOK_FOR_GOOD = """\
del pins[pin]
        route, cut = traffic.table.match(path)
        pins = route.pins
        pins[pin] = (path, 0.0)
        break
    if cut:"""


@pytest.mark.usefixtures("_wide")
@pytest.mark.parametrize(
    ("original", "changed"),
    [
        ("if traffic.table is table:", "if True:"),
        (
            "del pins[pin]\n    if cut:",
            SECOND_LOOK_FOR_GOOD,
        ),
        (
            "body = route.call(environ, start_response)",
            "body = route.call(environ, start_response); pins.clear()",
        ),
    ],
    ids=["no second look", "second look taken for good", "unpinned too early"],
)
def test_mutants_are_found_out(original: str, changed: str) -> None:
    """Without a part of the protocol, requests are in versions that have ended."""
    book = switched(mutant(original, changed))

    assert book.losses > 0


@pytest.mark.usefixtures("_wide")
def test_wrong_order_is_found_out() -> None:
    """Who retires before the new table is published ends versions too early."""
    book = switched(retire_first=True)

    assert book.losses > 0


@pytest.mark.usefixtures("_wide")
def test_wrong_drain_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not wait for the pins ends versions with requests in them."""
    monkeypatch.setattr(Retired, "drained", lambda self, others: True)
    monkeypatch.setattr(retirement, "POLL", 0.001)

    book = switched()

    assert book.losses > 0


@pytest.mark.usefixtures("_wide")
def test_versions_that_come_back_are_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the moment in which a version is taken back, it serves or has ended."""
    monkeypatch.setattr(retirement, "POLL", 0.001)

    book, taken_back = switched_and_back(SlowRetirement)

    assert 0 == book.losses
    assert 0 < taken_back < SWITCHES


@pytest.mark.usefixtures("_wide")
def test_careless_end_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who ends what was taken back ends versions that serve."""
    monkeypatch.setattr(retirement, "POLL", 0.001)

    book, _ = switched_and_back(Careless)

    assert book.losses > 0
