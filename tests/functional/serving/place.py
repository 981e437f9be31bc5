"""A folder with an application and an ini, and the paster command in it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from pointsman.serving import pidfile, status

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASTER = "import sys; from pointsman.serving.paster import main; sys.exit(main())"
# WebOb 1.8 imports cgi; every other warning is an error in the servers too.
WARNINGS = ("-W", "error", "-W", "ignore:'cgi' is deprecated:DeprecationWarning")
DEADLINE = 30.0
BIG = 30_000_000

APPLICATION = f"""
import time

VERSION = "one"


def factory(global_conf, greeting="hello", **settings):
    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path == "/big":
            start_response("200 OK", [("Content-Length", "{BIG}")])
            return (b"x" * 100_000 for _ in range({BIG} // 100_000))
        if path == "/stream":
            start_response("200 OK", [("Content-Type", "text/plain")])
            return (b"line\\n" * 100 for _ in range(20))
        if path == "/upload":
            body = environ["wsgi.input"].read()
            return answer(start_response, str(len(body)))
        if path.startswith("/slow"):
            time.sleep(float(path.removeprefix("/slow")))
        return answer(start_response, greeting + " " + VERSION)

    return application


def answer(start_response, text):
    body = text.encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

INI = """
[app:main]
paste.app_factory = {module}:factory

[app:second]
paste.app_factory = {module}:factory
greeting = second

[server:main]
use = egg:pointsman#server
port = 0
threads = 4
drain_timeout = 25
keep_alive_grace = 0.5

[server:strict]
use = egg:pointsman#server
port = 0
keep_alive_grace = 0.1
threads = 1
"""


def wait_for(what: Callable[[], Any], deadline: float = DEADLINE) -> Any:
    """Return the first true answer; fail after the deadline."""
    end = time.monotonic() + deadline
    while time.monotonic() < end:
        found = what()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError(f"waited {deadline} s for {what}")


class Place:
    """One folder; its processes are the caller's to end, see the fixture."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.module = folder / "served.py"
        self.ini = folder / "deploy.ini"
        self.pid_file = folder / "paster.pid"
        self.log = folder / "paster.log"
        self.module.write_text(APPLICATION)
        self.ini.write_text(INI.format(module="served"))
        self.started: list[subprocess.Popen[Any]] = []

    def command(self, *words: str, timeout: float = 60) -> tuple[int, str, str]:
        """Run ``paster serve`` to its end; return code, output and errors."""
        done = subprocess.run(
            self._arguments(words),
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    def start(self, *words: str, **options: Any) -> subprocess.Popen[str]:
        """Start ``paster serve`` and leave it running."""
        with (self.folder / "output").open("a") as output:
            process = subprocess.Popen(
                self._arguments(words),
                cwd=self.folder,
                env=self._environment(),
                stdout=output,
                stderr=output,
                text=True,
                **options,
            )
        self.started.append(process)
        return process

    def foreground(self, *words: str) -> subprocess.Popen[str]:
        """Start a server in the foreground and wait until it serves."""
        process = self.start("--pid-file", "paster.pid", *(words or ("deploy.ini",)))
        self.port()
        return process

    def daemon(self, *words: str) -> int:
        """Start a daemon; return its port."""
        code, _, errors = self.command("--daemon", *(words or ("deploy.ini",)))
        assert (0, "") == (code, "Traceback" if "Traceback" in errors else ""), errors
        return self.port()

    def ask(self) -> dict[str, Any]:
        """Return what the server says of itself; nothing when there is none."""
        with status.reached(self.pid_file) as line:
            return line.ask("status") if line else {}

    def port(self) -> int:
        """Wait until the server serves; return its port."""
        addresses = wait_for(lambda: self.ask().get("addresses"))
        return int(addresses[0].rpartition(":")[2])

    def pid(self) -> int:
        recorded = pidfile.read(self.pid_file)
        assert recorded is not None
        return recorded.pid

    def output(self) -> str:
        """Return what the processes left running have said."""
        return (self.folder / "output").read_text()

    def end_all(self) -> None:
        """End what this test started, by its id."""
        recorded = pidfile.read(self.pid_file)
        if recorded is not None and recorded.alive():
            os.kill(recorded.pid, 9)
        for process in self.started:
            if process.poll() is None:
                process.kill()
            process.wait()

    def _arguments(self, words: tuple[str, ...]) -> list[str]:
        return [sys.executable, *WARNINGS, "-c", PASTER, "serve", *words]

    def _environment(self) -> dict[str, str]:
        folders = [str(self.folder), *filter(None, sys.path)]
        return {**os.environ, "PYTHONPATH": os.pathsep.join(folders)}
