"""The servers that are compared: each starts, deploys in its own way, and stops."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from typing import TYPE_CHECKING

from perf import sources
from perf.host import HostProcess, hosting

if TYPE_CHECKING:
    from pathlib import Path

_WORKERS = "4"
_THREADS = "8"


class Contender(ABC):
    """One way to serve and to deploy.  One thread at a time."""

    name: str

    def __init__(self, folder: Path, *, heavy: bool) -> None:
        """Work below an empty folder."""
        self.folder = folder
        self._heavy = heavy
        self.port = 0

    @abstractmethod
    def start(self) -> None:
        """Serve version 1 on ``port``; returns when it answers."""

    @abstractmethod
    def deploy(self) -> None:
        """Bring what was written into service; the clock runs from this call."""

    @abstractmethod
    def stop(self) -> None:
        """End it."""

    @classmethod
    def missing(cls) -> str:
        """Return what this machine lacks for it, or nothing."""
        return ""

    def write(self, version: int) -> None:
        """Put a version where the server will look for it."""
        files = sources.deployed(version, heavy=self._heavy)
        # The application last: who watches it finds its late import in place.
        for name in sorted(files, reverse=True):
            sources.write(self.folder / name, files[name])


class Pointsman(Contender):
    """This program, under its own ``paster serve``."""

    name = "pointsman, rehearse = yes"
    rehearse = True

    def start(self) -> None:
        sources.write(self.folder / "service-sources.txt", ".\n")
        self._stack = ExitStack()
        self._host: HostProcess = self._stack.enter_context(
            hosting(self.folder / "service-sources.txt", rehearse=self.rehearse)
        )
        self.port = self._host.port

    def deploy(self) -> None:
        self._host.reload()

    def stop(self) -> None:
        self._stack.close()


class Unrehearsed(Pointsman):
    """The same without rehearsal."""

    name = "pointsman, rehearse = no"
    rehearse = False


class _Foreign(Contender):
    def _run(self, *command: str) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=self.folder,
            env=self._environment(),
            stdout=subprocess.DEVNULL,
            stderr=(self.folder / "log").open("ab"),
        )
        self._wait()

    def _environment(self) -> dict[str, str]:
        found = sources.environment()
        found["PYTHONPATH"] = f"{self.folder}{os.pathsep}{found['PYTHONPATH']}"
        return found

    def _wait(self) -> None:
        end = time.monotonic() + 30
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                time.sleep(0.002)
            else:
                return
        log = (self.folder / "log").read_text("utf-8", "replace")
        message = f"{self.name} does not serve: {log[-2000:]}"
        raise AssertionError(message)

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(30)


class Gunicorn(_Foreign):
    """gunicorn with sync workers, which HUP replaces by new ones."""

    name = "gunicorn sync, HUP"

    def start(self) -> None:
        self.port = free_port()
        run = "import sys; from gunicorn.app.wsgiapp import run; sys.exit(run())"
        self._run(
            *(sys.executable, "-c", run, "--workers", _WORKERS),
            *("--bind", f"127.0.0.1:{self.port}", "--no-control-socket"),
            *("--log-level", "warning", "shop:application"),
        )

    def deploy(self) -> None:
        self._process.send_signal(signal.SIGHUP)


class Uwsgi(_Foreign):
    """uWSGI, whose workers are replaced one after the other."""

    name = "uWSGI touch-chain-reload"

    @classmethod
    def missing(cls) -> str:
        if shutil.which("uwsgi") is None or sys.version_info[:2] != (3, 11):
            return "needs apt-get install uwsgi-plugin-python3, and its Python"
        return ""

    def start(self) -> None:
        self.port = free_port()
        self._touched = self.folder / "touched"
        self._touched.touch()
        self._run(
            *("uwsgi", "--plugin", "python3", "--master", "--lazy-apps"),
            *("--processes", _WORKERS, "--die-on-term"),
            *("--http-socket", f"127.0.0.1:{self.port}", "--enable-threads"),
            *("--touch-chain-reload", str(self._touched), "--disable-logging"),
            *("--virtualenv", sys.prefix, "--module", "shop:application"),
            *("--need-app", "--add-header", "Connection: close"),
        )

    def deploy(self) -> None:
        self._touched.touch()


class Waitress(_Foreign):
    """waitress, ended and started anew."""

    name = "waitress, kill and start"

    def start(self) -> None:
        self.port = self.port or free_port()
        run = "import sys; from waitress.runner import run; sys.exit(run())"
        self._run(
            *(sys.executable, "-c", run, "--threads", _THREADS),
            *("--host", "127.0.0.1", "--port", str(self.port), "shop:application"),
        )

    def deploy(self) -> None:
        self._process.kill()
        self._process.wait(30)
        self.start()


CONTENDERS: tuple[type[Contender], ...] = (
    Pointsman,
    Unrehearsed,
    Gunicorn,
    Uwsgi,
    Waitress,
)


def free_port() -> int:
    """Return a port for a server that cannot tell which one it was given."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
        return port
