"""A site of several releases: folders with code of their own and a way to start it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from functional.serving.hammer import Client, LostError
from functional.serving.place import APPLICATION, INI, PASTER, WARNINGS
from pointsman.errors import ReleaseError
from pointsman.serving import handover, pidfile, processes, status
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.serving.handover import Outcome, Serving, Step

SERVER = INI.replace("threads = 4", "threads = 8").format(module="served")
# How a release fails; {code} is put in front of the application's module.
IMPORT = "import nothing"
HANGS_AT_START = "import time; print('loading', flush=True); time.sleep(999)"
DEAF_AT_START = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
time.sleep(999)
"""
DIES_AT_START = "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)"
NODE = """
import sys, types, pathlib

class Node:
    def reload(self):
        pass
    def close(self):
        {close}
    def in_flight(self):
        return 0
    def readiness(self):
        ready = {ready}
        return ready, {{"status": "ready" if ready else "behind", "generation": 1}}

module = types.ModuleType("pointsman.node")
module.running = lambda: (Node(),)
sys.modules["pointsman.node"] = module
"""
# What stands behind the application, and changes it.
CRASHES = """

import ctypes, os

plain = factory


def factory(global_conf, **settings):
    inner = plain(global_conf, **settings)

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/segv":
            ctypes.string_at(0)
        return inner(environ, start_response)

    return application
"""
# A request to /until takes until the test says so.
WAITS = """

import pathlib, time

without_waits = factory


def factory(global_conf, **settings):
    inner = without_waits(global_conf, **settings)
    begun, go = (pathlib.Path(__file__).with_name(name) for name in ("begun", "go"))

    def application(environ, start_response):
        if environ["PATH_INFO"] == "/until":
            begun.touch()
            while not go.exists():
                time.sleep(0.01)
        return inner(environ, start_response)

    return application
"""
BROKEN = """

def factory(global_conf, **settings):
    def application(environ, start_response):
        start_response("500 Broken", [("Content-Length", "0")])
        return []

    return application
"""
# A server that waits less for those that it ends.
HASTY = "from pointsman.serving.handover import incumbent as i; i._MARGIN = 0.1\n"
NEVER_READY = NODE.format(ready="False", close="pass")
HANGS_AT_END = NODE.format(ready="True", close="import time; time.sleep(999)")
FAILING = {
    "import": (IMPORT, ""),
    "hangs": (HANGS_AT_START, ""),
    "deaf": (DEAF_AT_START, ""),
    "crash": (DIES_AT_START, ""),
    "unready": (NEVER_READY, ""),
    "broken": ("", BROKEN),
}


def established(pid: int, port: int) -> list[str]:
    """Return the connections to ``port`` that a process has (``/proc/net/tcp``)."""
    inodes = set()
    for number in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(OSError):
            link = str(number.readlink())
            inodes.add(link.removeprefix("socket:[").removesuffix("]"))
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [
        row[9]
        for row in rows
        if row[3] == "01" and row[9] in inodes and row[1].endswith(f":{port:04X}")
    ]


class Switching:
    """A switch in a thread of its own, as an operator has it in a terminal."""

    def __init__(self, site: Site, release: Release, options: dict[str, Any]) -> None:
        self.site, self.steps = site, list[str]()
        self.pid = 0
        self._pool = ThreadPoolExecutor(1)
        wanted = {"on_step": self._note, **options}
        self._outcome = self._pool.submit(
            handover.switch, site.pid_file, release.argv, **wanted
        )

    def _note(self, step: Step) -> None:
        if "pid" in step.details:
            self.pid = step.details["pid"]
            self.site.remember(self.pid)
        self.steps.append(step.name)

    def is_at(self, step: str) -> bool:
        """Tell whether it has come so far; an end before that is told."""
        if self._outcome.done():
            raise AssertionError(self._outcome.result())
        return step in self.steps

    def kill(self, ending: str, port: int) -> int:
        """End the successor; return how many requests were sent for that."""
        if ending != "SIGSEGV":
            os.kill(self.pid, signal.Signals[ending])
            return 0
        client = Client(port)
        client.send("/segv")
        with suppress(LostError):
            client.receive()
        client.close()
        return 1

    def outcome(self) -> Outcome:
        """Wait for the end."""
        return self._outcome.result(60)

    def end(self) -> None:
        """Let nothing go on when the test does not."""
        if not self._outcome.done():
            with suppress(ReleaseError):
                handover.take_back(self.site.pid_file, "the test is over")
        self._pool.shutdown()


class Load(Protocol):
    """Clients in threads."""

    def stop(self) -> None:
        """End them; a second time does nothing."""


Loading = TypeVar("Loading", bound=Load)


@dataclass(frozen=True)
class Release:
    """One folder; ``argv`` starts what is in it."""

    folder: Path
    argv: tuple[str, ...]

    def begun(self) -> bool:
        """Tell whether a request to ``/until`` is being answered."""
        return (self.folder / "begun").exists()

    def go(self) -> None:
        """Let requests to ``/until`` be answered."""
        (self.folder / "go").touch()


class Site:
    """One folder; its processes are the caller's to end, see the fixture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.pid_file = folder / "site.pid"
        self.log = folder / "site.log"
        self.steps: list[Step] = []
        self._first: list[subprocess.Popen[bytes]] = []
        self._load: list[Load] = []
        self._seen: set[processes.Identity] = set()

    def release(
        self, name: str, code: str = "", ini: str = SERVER, behind: str = ""
    ) -> Release:
        """Make a release that answers ``hello NAME``; ``code`` runs first."""
        folder = self.folder / name
        folder.mkdir()
        application = APPLICATION.replace('VERSION = "one"', f'VERSION = "{name}"')
        (folder / "served.py").write_text(code + application + behind)
        (folder / "deploy.ini").write_text(ini)
        start = f"import sys; sys.path.insert(0, {str(folder)!r}); {PASTER}"
        words = ("serve", "--pid-file", str(self.pid_file), str(folder / "deploy.ini"))
        return Release(folder, (sys.executable, *WARNINGS, "-c", start, *words))

    def start(self, release: Release, *words: str, **options: Any) -> int:
        """Start the first server; return its port when it answers."""
        self._started(release, words, options)
        return self.port()

    def _started(
        self, release: Release, words: tuple[str, ...], options: dict[str, Any]
    ) -> None:
        environment = {**self.environment(), **options.pop("env", {})}
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [*release.argv, *words],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                **options,
            )
        self._first.append(process)

    def start_foreign(self, release: Release) -> None:
        """Start a server that is not ours; it says nothing of addresses."""
        self._started(release, (), {})
        wait_for(lambda: "Serving on" in self.output(), "a server")

    def start_unix(self, release: Release) -> None:
        """Start a server on a UNIX socket."""
        self._started(release, (), {})
        wait_for(lambda: self.current().addresses, "an address")

    def restart(self, release: Release) -> subprocess.CompletedProcess[str]:
        """Let an operator restart it."""
        return subprocess.run(
            [*release.argv, "--log-file", str(self.log), "restart"],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def kill_first(self) -> int:
        """Kill the server that was started last; return its pid."""
        process = self._first.pop()
        process.kill()
        process.wait()
        return process.pid

    def paster(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``paster serve`` with the site's pid file."""
        start = [sys.executable, *WARNINGS, "-c", PASTER, "serve"]
        return subprocess.run(
            [*start, "--pid-file", str(self.pid_file), *words],
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    @contextmanager
    def stopping(self) -> Iterator[subprocess.Popen[str]]:
        """Have a stop under way; wait for its end."""
        with subprocess.Popen(
            [
                *(sys.executable, "-u", *WARNINGS, "-c", PASTER, "serve"),
                *("--pid-file", str(self.pid_file), "--stop-daemon"),
            ],
            cwd=self.folder,
            env=self.environment(),
            stdout=subprocess.PIPE,
            text=True,
        ) as stop:
            yield stop
            stop.wait(60)

    def environment(self) -> dict[str, str]:
        path = os.pathsep.join(filter(None, sys.path))
        return {**os.environ, "PYTHONPATH": path}

    def switch(self, release: Release, **options: Any) -> Outcome:
        """Let the server that runs hand over; at once unless told otherwise."""
        wanted = {"probation": 0.0, "on_step": self._note, **options}
        return handover.switch(self.pid_file, release.argv, **wanted)

    def _note(self, step: Step) -> None:
        self.steps.append(step)
        if "pid" in step.details:
            self.remember(step.details["pid"])

    def remember(self, pid: int) -> None:
        """End this process at the end of the test."""
        start = processes.start_time(pid)
        if start is not None:
            self._seen.add(processes.Identity(pid, start))

    @contextmanager
    def switching(
        self, release: Release, *, until: str = "probation", **options: Any
    ) -> Iterator[Switching]:
        """Have a switch that is on probation when the block begins."""
        switching = Switching(self, release, options)
        try:
            wait_for(lambda: switching.is_at(until), until)
            yield switching
        finally:
            switching.end()

    def under(self, load: Loading) -> Loading:
        """Have clients that do not outlive the test, however it ends."""
        self._load.append(load)
        return load

    def current(self) -> Serving:
        """Return who serves."""
        serving = wait_for(lambda: handover.current(self.pid_file), "a server")
        assert serving is not None
        self.remember(serving.pid)
        return serving

    def in_flight(self, successor: int) -> int:
        """Count the connections of the successor that have sent something."""
        return len(established(successor, self.port()))

    def noted(self) -> bytes:
        """Return what the successor has noted of its connections; see ``tally``.

        It notes an answer a moment after the client has it.
        """
        for name in Path(f"/proc/{self.pid()}/fd").iterdir():
            with suppress(FileNotFoundError):
                if name.readlink().name.startswith("memfd:in flight"):
                    return bytes(sorted(name.read_bytes().replace(b"\0", b"")))
        return b""

    def status(self) -> dict[str, Any]:
        """Return all that the server says of itself."""
        with status.reached(self.pid_file) as line:
            return line.ask("status") if line else {}

    def port(self) -> int:
        """Return the port, once it is served."""
        first = wait_for(lambda: self.current().addresses, "an address")[0]
        return int(first.rpartition(":")[2])

    def pid(self) -> int:
        """Return whom the pid file names."""
        recorded = pidfile.read(self.pid_file)
        assert recorded is not None
        self.remember(recorded.pid)
        return recorded.pid

    def output(self) -> str:
        """Return what the servers have said."""
        return self.log.read_text() if self.log.exists() else ""

    def end_all(self) -> None:
        """End what this test started, by its identity."""
        recorded = pidfile.read(self.pid_file)
        if recorded is not None:
            self.remember(recorded.pid)
        for identity in self._seen:
            if identity.alive():
                os.kill(identity.pid, signal.SIGKILL)
        for process in self._first:
            process.kill()
            process.wait()
        for load in self._load:
            load.stop()
