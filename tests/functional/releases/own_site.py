"""A site with releases of pointsman itself, built by deploy.cfg."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from functional.releases.machine import free_port, is_for_apache
from functional.serving.hammer import get
from pointsman.releases.store import Store
from pointsman.serving import pidfile, status
from recipes.buildouts import CHECKOUT, PROGRAM, environment
from waiting import wait_for

if TYPE_CHECKING:
    from pointsman.releases.layout import Release

_DEBIANS = "/usr/bin/python3"
#: Everything that a program gets from whoever starts it.
BARE = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}


class OwnSite:
    """Below a folder that everybody may read: pytest's own are closed to others."""

    def __init__(self) -> None:
        """Make the folder; as root, www-data serves, where it can read the Python."""
        self.top = Path(tempfile.mkdtemp(prefix="pointsman-site-"))
        self.top.chmod(0o755)
        self.root = self.top / "root"
        self.port, self.apache_port = free_port(), free_port()
        self.user = "www-data" if os.geteuid() == 0 and is_for_apache() else ""

    def close(self) -> None:
        """End what runs, and remove everything."""
        self.kill()
        shutil.rmtree(self.top)

    @property
    def store(self) -> Store:
        """The releases of the site."""
        return Store(self.root)

    def build(self, version: str) -> Release:
        """Build a release of this checkout; nothing is written into it."""
        given = {
            "buildout:installed": self.top / "installed.cfg",
            "buildout:parts-directory": self.top / "parts",
            "buildout:index": "file:///nowhere/",
            "release:root": self.root,
            "release:version": version,
            "release:user": self.user,
            "release:python": _DEBIANS if self.user else "",
            "config:port": self.port,
            "config:virtual_host": f"127.0.0.1:{self.apache_port}",
        }
        words = [f"{option}={value}" for option, value in given.items()]
        done = subprocess.run(
            [PROGRAM, "-c", "deploy.cfg", *words],
            cwd=CHECKOUT,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        assert 0 == done.returncode, done.stdout
        return self.store.find(version)

    def tree(self, version: str) -> Path:
        """Return the tree of a release."""
        return self.store.root.tree(self.store.find(version))

    def etc(self, version: str, name: str) -> Path:
        """Return a rendered file."""
        return self.tree(version) / "etc" / name

    def start(self, *words: str) -> str:
        """Run bin/start, as an operator does; return what it says."""
        done = subprocess.run(
            [self.root / "bin" / "start", *words],
            cwd="/",
            env=BARE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert 0 == done.returncode, done.stdout
        return done.stdout

    @property
    def pid_file(self) -> Path:
        """The pid file of the server that bin/start starts."""
        return self.root / "shared" / "var" / "paster.pid"

    def status(self) -> dict[str, Any]:
        """Return what the server says of itself."""
        with status.reached(self.pid_file) as line:
            return line.ask("status") if line else {}

    def get(self, path: str, port: int = 0) -> str:
        """Return an answer's body."""
        return get(port or self.port, path).body.decode()

    def kill(self) -> None:
        """Kill all that runs from any tree of the site, as a power cut does."""
        pids = [pid for one in self.store.releases() for pid in one.pids]
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not any(one.in_use for one in self.store.releases()), "dead")

    def recorded(self) -> int:
        """Return the pid in the pid file."""
        found = pidfile.read(self.pid_file)
        assert found is not None
        return found.pid
