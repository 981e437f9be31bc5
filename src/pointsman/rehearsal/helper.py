"""The process between: it has no threads, and forks a child per rehearsal.  Effects.

Run as ``python -c`` by `client`; it ends when the serving process closes its end
of the connection, also by dying.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.rehearsal import child, wire
from pointsman.resources import Resources
from pointsman.runtime.services import Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The exit status of a helper that became unfit to fork: an import made threads.
THREADED = 3

_OUTPUT_LIMIT = 16 * 1024


def main(descriptor: int) -> None:
    """Serve the connection until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    helper = Helper(connection)
    while (received := wire.receive(connection)) is not None:
        message, _ = received
        getattr(helper, f"on_{message.pop('do')}")(**message)


class Helper:
    """What is active, and the code of it, for the children to inherit."""

    def __init__(self, connection: socket.socket) -> None:
        """Answer on ``connection``."""
        self._connection = connection
        self._world: dict[str, child.Described] = {}
        self._codes: dict[str, dict[str, bytes]] = {}
        self._around = Surroundings({}, {}, {})

    def on_hello(
        self,
        settings: dict[str, dict[str, str]],
        resources: dict[str, str],
        global_conf: dict[str, str],
    ) -> None:
        """Take what services are given."""
        self._around = Surroundings(settings, Resources(resources), global_conf)

    def on_world(self, put: list[child.Described], drop: list[str]) -> None:
        """Take what has become active, and forget what is no more."""
        for name in drop:
            self._world.pop(name, None)
        for described in put:
            self._world[described["name"]] = described
        alive = {described["digest"] for described in self._world.values()}
        self._codes = {d: codes for d, codes in self._codes.items() if d in alive}

    def on_warm(self, modules: list[str]) -> None:
        """Import what children would otherwise import each time."""
        for name in modules:
            if name not in sys.modules:
                # A library that cannot be imported here is imported by each child.
                with contextlib.suppress(Exception), _no_output():
                    importlib.import_module(name)
        if len(list(Path("/proc/self/task").iterdir())) > 1:
            sys.exit(THREADED)

    def on_try(
        self,
        put: list[child.Described],
        drop: list[str],
        deadline: float,
        **task: Any,
    ) -> None:
        """Rehearse, and answer with what became of each package."""
        world = {n: d for n, d in self._world.items() if n not in drop}
        world.update((described["name"], described) for described in put)
        output = os.memfd_create("rehearsal")
        ours, theirs = socket.socketpair()
        pid = os.fork()
        if not pid:
            self._in_child(ours, theirs, output, task, world)
        theirs.close()
        watch = _Watch(pid, ours, self._connection, deadline)
        watch.follow()
        for name, codes in watch.codes.items():
            self._codes[world[name]["digest"]] = codes
        answer = {**watch.answer(), "output": _tail(output)}
        os.close(output)
        ours.close()
        blobs = {
            f"{name}/{module}": code
            for name, codes in watch.codes.items()
            for module, code in codes.items()
        }
        wire.send(self._connection, answer, blobs)

    def _in_child(
        self,
        ours: socket.socket,
        theirs: socket.socket,
        output: int,
        task: dict[str, Any],
        world: dict[str, child.Described],
    ) -> None:
        status = 1
        try:
            ours.close()
            self._connection.close()
            child.quiet(output)
            child.run(theirs, task, world, self._codes, self._around)
            status = 0
        finally:
            os._exit(status)  # no atexit functions, no threads of services


class _Watch:
    """Follows one child to its end, which comes at the deadline at the latest.

    The deadline is for each package: it starts anew with every sign of life.
    """

    def __init__(
        self,
        pid: int,
        connection: socket.socket,
        server: socket.socket,
        deadline: float,
    ) -> None:
        self._pid = pid
        self._connection = connection
        self._server = server
        self._deadline = deadline
        self._running = ""
        self._late = False
        self._done = False
        self._results: dict[str, Any] = {}
        self._host_modules: list[str] = []
        self.codes: dict[str, dict[str, bytes]] = {}
        self._status = 0

    def follow(self) -> None:
        end = time.monotonic() + self._deadline
        while True:
            left = max(0.0, end - time.monotonic())
            ready, _, _ = select.select([self._connection, self._server], [], [], left)
            if self._connection in ready:
                received = wire.receive(self._connection)
                if received is None:
                    break
                if self._take(*received):
                    end = time.monotonic() + self._deadline
            elif self._server in ready:  # closed: nobody waits for the answer
                self._kill()
                sys.exit(0)
            else:
                self._late = True
                os.kill(self._pid, child.WHERE)
                time.sleep(0.1)  # for the signal handler, which is not Python's
                break
        self._kill()
        self._status = os.waitpid(self._pid, 0)[1]

    def _take(self, message: dict[str, Any], blobs: dict[str, bytes]) -> bool:
        """Note a message; True when it is the end of one package."""
        if "running" in message:
            self._running = message["running"]
            return False
        if "done" in message:
            self._done = True
            self._host_modules = message["host_modules"]
            return True
        name = message.pop("name")
        self._results[name] = message
        if message["failure"] is None:
            self.codes[name] = blobs
        return True

    def _kill(self) -> None:
        if not self._done:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)

    def answer(self) -> dict[str, Any]:
        return {
            "results": self._results,
            "host_modules": self._host_modules,
            "ended_in": "" if self._done else self._running,
            "how": "" if self._done else self._how(),
        }

    def _how(self) -> str:
        if self._late:
            return f"did not come to an end within {self._deadline:g} s"
        if os.WIFSIGNALED(self._status):
            name = signal.Signals(os.WTERMSIG(self._status)).name
            return f"ended its process by {name}"
        status = os.waitstatus_to_exitcode(self._status)
        return f"ended its process with the exit status {status}"


@contextlib.contextmanager
def _no_output() -> Iterator[None]:
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        yield


def _tail(output: int) -> str:
    size = os.fstat(output).st_size
    start = max(0, size - _OUTPUT_LIMIT)
    return os.pread(output, _OUTPUT_LIMIT, start).decode("utf-8", "replace")
