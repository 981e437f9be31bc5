"""What the threads of a node are doing, and for which service.

Broken on purpose, and seen to fail: the frames are not let go of at the end; the
variables of a frame are left where Python keeps them; who started a thread is not
asked.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pointsman import threads
from site_folder import get
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from site_folder import SiteFolder

SHOP = """
import threading

from pointsman import Service

gate = threading.Event()

class Wait(Service):
    path = "/wait"

    def handle(self, request):
        gate.wait(20)
        return "done"

class Stream(Service):
    path = "/stream"

    def handle(self, request):
        return self.chunks()

    def chunks(self):
        yield b"one"
        gate.wait(20)
        yield b"two"

class Open(Service):
    path = "/open"

    def handle(self, request):
        gate.set()
        return "open"

class Start(Service):
    path = "/start"

    def handle(self, request):
        threading.Thread(target=gate.wait, args=(20,), name="helper").start()
        return "started"
"""


class Waiting:
    """A host, and requests that wait in it until they are let go."""

    def __init__(self, site: SiteFolder) -> None:
        site.write("shop.py", SHOP)
        self.file = site.services / "shop.py"
        self.host = site.host()
        self._clients: list[threading.Thread] = []

    def ask(self, path: str) -> None:
        """Send a request from a thread called ``client``."""
        client = threading.Thread(target=get, args=(self.host, path), name="client")
        self._clients.append(client)
        client.start()

    def let_go(self) -> None:
        """Let all requests be answered."""
        get(self.host, "/open")
        for client in self._clients:
            client.join(20)

    def told(self, name: str, text: str) -> dict[str, Any]:
        """Return what is told of a thread once its stack has ``text``."""
        return wait_for(
            lambda: [
                one
                for one in threads.stacks()
                if one["name"] == name and text in one["stack"]
            ],
            f"thread {name} is at {text}",
        )[0]


@pytest.fixture(name="waiting")
def _waiting(site: SiteFolder) -> Iterator[Waiting]:
    made = Waiting(site)
    yield made
    made.let_go()


def test_thread_of_a_request(waiting: Waiting) -> None:
    """A thread that answers is told with package, service, request and stack."""
    waiting.ask("/wait/caf%C3%A9?q=1")

    found = waiting.told("client", "gate.wait")

    digest = waiting.host.node.traffic.versions["shop"].loaded.package.artifact.digest
    assert {
        "package": "shop",
        "digest": digest,
        "service": "shop.wait",
        "request": "GET /wait/café",
        "daemon": False,
    } == {k: found[k] for k in ("package", "digest", "service", "request", "daemon")}
    assert f'  File "{waiting.file}", line 12, in handle\n' in found["stack"]
    assert '  [pointsman] File "' in found["stack"]
    assert json.dumps(found)


def test_thread_that_streams(waiting: Waiting) -> None:
    """A thread that asks a generator for its next chunk is told with the request."""
    waiting.ask("/stream/x")

    found = waiting.told("client", "gate.wait")

    assert ("shop", "shop.stream", "/stream/x") == (
        found["package"],
        found["service"],
        found["request"],
    )


def test_thread_that_a_service_started(waiting: Waiting) -> None:
    """A thread belongs to who started it, whatever code it runs."""
    get(waiting.host, "/start")

    found = waiting.told("helper", "waiter.acquire")

    assert ("shop", "", "") == (found["package"], found["service"], found["request"])


def test_threads_of_nobody(waiting: Waiting) -> None:
    """The thread that asks is told, too; it works for no service."""
    found = waiting.told(threading.current_thread().name, "test_threads_of_nobody")

    assert ("", "", "") == (found["package"], found["service"], found["request"])
    assert threading.get_ident() == found["ident"]
    assert "[pointsman]" in found["stack"].splitlines()[-2]


def test_nothing_is_held(waiting: Waiting) -> None:
    """No frame is kept, nor a variable of one: the version can be let go of."""
    gc.collect()
    gc.disable()
    try:
        before = sys.getrefcount(sys._getframe())
        threads.stacks()
        after = sys.getrefcount(sys._getframe())
    finally:
        gc.enable()

    assert before == after


def test_environ_of_a_request_is_not_held(waiting: Waiting) -> None:
    """Looking at a request while it runs leaves no reference to what it came with."""
    waiting.ask("/wait")
    waiting.told("client", "gate.wait")
    (frame,) = [
        one
        for ident, innermost in sys._current_frames().items()
        if ident == waiting._clients[0].ident
        for one in outwards(innermost)
        if one.f_globals.get("__name__") == "pointsman.call"
        and "environ" in one.f_code.co_varnames
    ]
    environ = frame.f_locals["environ"]
    if isinstance(frame.f_locals, dict):
        frame.f_locals.clear()
    gc.collect()
    before = sys.getrefcount(environ)

    threads.stacks()

    assert before == sys.getrefcount(environ)


def outwards(frame: Any) -> Iterator[Any]:
    """Yield the frames of a stack."""
    while frame is not None:
        yield frame
        frame = frame.f_back
