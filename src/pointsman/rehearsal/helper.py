"""The process between: it has no threads, and forks a child per rehearsal.  Effects.

Run as ``python -c`` by `client`; it ends when the serving process closes its end
of the connection, also by dying.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.rehearsal import child, strays, wire
from pointsman.resources import Resources
from pointsman.runtime.services import Surroundings

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long a child may take to end, once it is done or has closed its connection.
_GRACE = 1.0

#: How much less of a busy processor a rehearsal gets than what serves.
NICER = 10

#: The exit status of a helper that became unfit to fork: an import made threads.
THREADED = 3

# What code may print in a rehearsal, and how much of its end is told; in bytes.
_MOST_OUTPUT = 16 * 1024 * 1024
_TOLD_OUTPUT = 16 * 1024


def main(descriptor: int) -> None:
    """Serve the connection until it is closed."""
    os.nice(NICER)  # requests come first, on a machine that is busy
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the server
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    strays.adopt()
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
        self._around = Surroundings(
            settings, Resources(resources, rehearsing=True), global_conf
        )

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
        output = _output()
        ours, theirs = socket.socketpair()
        helper, pid = os.getpid(), os.fork()
        if not pid:
            strays.end_with(helper)
            self._in_child(ours, theirs, output, task, world)
        theirs.close()
        watch = _Watch(pid, ours, self._connection, output, deadline)
        watch.follow()
        strays.kill()
        for name, codes in watch.codes.items():
            self._codes[world[name]["digest"]] = codes
        answer = watch.answer()
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
        output: int,
        deadline: float,
    ) -> None:
        self._pid = pid
        self._connection = connection
        self._server = server
        self._output = output
        self._printed = 0  # bytes, by the packages before the one that is running
        self._deadline = deadline
        self._running = ""
        self._late = False
        self._silent = False
        self._done = False
        self._results: dict[str, Any] = {}
        self._host_modules: list[str] = []
        self.codes: dict[str, dict[str, bytes]] = {}
        self._status = 0
        self._until = time.monotonic() + deadline
        self._alive = os.pidfd_open(pid)  # readable when the child has ended

    def follow(self) -> None:
        """Take what the child tells until it is done, ends, or is late."""
        try:
            while not self._done and self._step():
                pass
            self._status = self._end()
        finally:
            os.close(self._alive)

    def _step(self) -> bool:
        """Wait for one message; False when there will be no more."""
        left = max(0.0, self._until - time.monotonic())
        # What the child has started may hold its end of the connection open.
        watched: list[Any] = [self._connection, self._alive, self._server]
        ready, _, _ = select.select(watched, [], [], left)
        if self._connection in ready:
            received = wire.receive(self._connection)
            if received is not None and self._take(*received):
                self._until = time.monotonic() + self._deadline
            return received is not None
        if self._server in ready:  # closed: nobody waits for the answer
            os.kill(self._pid, signal.SIGKILL)
            strays.kill()
            sys.exit(0)
        if self._alive not in ready:
            self._late = True
            os.kill(self._pid, child.WHERE)
            time.sleep(0.1)  # for the signal handler, which is not Python's
        return False

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
        end = message.pop("printed")
        printed = self._output_until(end)
        self._printed = end
        if message["failure"] is None:
            self.codes[name] = blobs
        elif printed:
            message["failure"]["traceback"] += f"\nIt printed:\n{printed}"
        self._results[name] = message
        return True

    def _output_until(self, end: int) -> str:
        """Return the last of what the running package has printed."""
        start = max(self._printed, end - _TOLD_OUTPUT)
        return os.pread(self._output, max(0, end - start), start).decode(
            "utf-8", "replace"
        )

    def _last_output(self) -> str:
        # The child has the same open file, so this is the position of both.
        return self._output_until(os.lseek(self._output, 0, os.SEEK_CUR))

    def _end(self) -> int:
        """End the child, where it has not ended by itself; return its status."""
        if not self._late:  # it is on its way, perhaps telling where it was
            ended, _, _ = select.select([self._alive], [], [], _GRACE)
            self._silent = not ended
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._pid, signal.SIGKILL)
        return os.waitpid(self._pid, 0)[1]

    def answer(self) -> dict[str, Any]:
        return {
            "results": self._results,
            "host_modules": self._host_modules,
            "ended_in": "" if self._done else self._running,
            "how": "" if self._done else self._how(),
            "output": "" if self._done else self._last_output(),
        }

    def _how(self) -> str:
        if self._late:
            return f"did not come to an end within {self._deadline:g} s"
        if self._silent:
            return "closed the files of its process, or hung while it ended"
        if os.WIFSIGNALED(self._status):
            name = signal.Signals(os.WTERMSIG(self._status)).name
            return f"ended its process by {name}"
        status = os.waitstatus_to_exitcode(self._status)
        return f"ended its process with the exit status {status}"


@contextlib.contextmanager
def _no_output() -> Iterator[None]:
    with Path(os.devnull).open("w") as nothing, contextlib.redirect_stdout(nothing):
        yield


def _output() -> int:
    """Return a file in memory that cannot grow beyond what code may print."""
    output = os.memfd_create("rehearsal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(output, _MOST_OUTPUT)  # takes no memory until it is written
    fcntl.fcntl(output, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK)
    return output
