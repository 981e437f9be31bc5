"""A site whose releases carry their own copy of pointsman, served by its paster."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import packaging
import paste.deploy
import waitress

import pointsman
from functional.serving.hammer import get
from pointsman.cli.served import Paster
from pointsman.errors import ReleaseError
from pointsman.releases.activation import Activation
from pointsman.releases.manifest import Python
from pointsman.releases.store import Store
from pointsman.releases.tree import Building
from pointsman.serving import handover, pidfile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from pointsman.releases.layout import Release


def _folder(module: ModuleType) -> Path:
    assert module.__file__ is not None
    return Path(module.__file__).parent


SOURCE, DEPLOY = _folder(pointsman), _folder(paste.deploy)
PASTE = DEPLOY.parent
SCRIPT = """#!{python} -BIS
import os
import sys
import warnings

warnings.filterwarnings("ignore", "'cgi' is deprecated")
TREE = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
sys.path[:0] = [os.path.join(TREE, "lib"), *{paths!r}]
from {module} import main

sys.exit(main())
"""
PASSES = "#!/bin/sh\nexit 0\n"
APP = """
import os
import signal
import time

VERSION = "{version}"
{breaks}


def make(global_conf):
    def application(environ, start_response):
        path = environ["PATH_INFO"]
        if path.startswith("/hold/"):
            with open(path[len("/hold"):], "w") as held:
                held.write(VERSION)
            time.sleep(60)
        if path.startswith("/slow"):
            time.sleep(float(path[len("/slow"):]))
        if path == "/segv":
            signal.raise_signal(signal.SIGSEGV)  # at once, in this very thread
        body = VERSION.encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]

    return application
"""
INI = """
[app:main]
paste.app_factory = site_app:make

[server:main]
use = egg:pointsman#server
host = 127.0.0.1
port = {port}
threads = 8
drain_timeout = 20
keep_alive_grace = 0.5
"""


class PasterSite:
    """The site below ``folder``; end what it serves with `close`."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "site"
        self.store = Store(self.root)
        self.store.prepare()
        self.pid_file = self.store.root.var / "paster.pid"
        self._pids: set[int] = set()
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]

    def build(
        self,
        version: str,
        breaks: str = "",
        self_test: str = PASSES,
        python: str = sys.executable,
    ) -> Release:
        """Seal a release; ``breaks`` is code at the import of its application.

        Without a self-test it has that of every release, which checks its ini.
        """
        with Building(self.root, "site", version) as building:
            for path, relative in _library():
                building.link_or_copy(path, f"lib/{relative}")
            app = APP.format(version=version, breaks=breaks)
            building.write("lib/site_app.py", app)
            building.write("etc/deploy.ini", self.ini())
            for name, module in (
                ("paster", "pointsman.serving.paster"),
                ("pointsman", "pointsman.cli"),
            ):
                building.write(f"bin/{name}", _script(module, python), 0o555)
            if self_test:
                building.write("bin/self-test", self_test, 0o555)
            return building.seal(requires={}, python=Python("3", python))

    def ini(self) -> str:
        """Return what the releases serve."""
        return INI.format(port=self.port)

    def serve(self, version: str, python: str = sys.executable) -> Release:
        """Build a release and activate it, without looking at it for long."""
        release = self.build(version, python=python)
        server = Paster(self.store.root)
        found = Activation(self.store, server).activate(release, watch=0)
        assert found.good, found.reason
        self.remember()
        return release

    def command(
        self, *words: str, tree: Release | None = None, timeout: float = 60
    ) -> subprocess.CompletedProcess[str]:
        """Run ``pointsman release`` to its end; it may be that of a release."""
        done = subprocess.run(
            self.words(*words, tree=tree),
            env=self.environment(),
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        self.remember()
        return done

    def start(self, *words: str, **environment: str) -> subprocess.Popen[str]:
        """Start ``pointsman release`` and leave it running."""
        return subprocess.Popen(
            self.words(*words),
            env={**self.environment(), **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def ended(self, command: subprocess.Popen[str]) -> Any:
        """Wait for its end; return the document that it has printed."""
        printed, said = command.communicate(timeout=60)
        self.remember()
        assert printed, said
        return json.loads(printed)

    def watched(self) -> bool:
        """Tell whether a release is on probation, and the one before stands by."""
        entry = self.store.journal.read()
        return entry is not None and entry.step == "watching"

    def words(self, *words: str, tree: Release | None = None) -> list[str]:
        """Return the command line; the last ``--root`` of it counts."""
        main = [sys.executable, "-c", "from pointsman.cli import main; main()"]
        if tree is not None:
            main = [str(self.store.root.tree(tree) / "bin" / "pointsman")]
        command, *rest = words
        return [*main, "release", command, f"--root={self.root}", *rest]

    def environment(self) -> dict[str, str]:
        """Return one in which a child imports what this process can."""
        paths = os.pathsep.join(filter(None, sys.path))
        return {**os.environ, "PYTHONPATH": paths}

    def serving(self) -> handover.Serving | None:
        """Return who serves, as it tells itself."""
        self.remember()
        return handover.current(self.pid_file)

    def get(self, path: str = "/") -> str:
        """Return an answer's body."""
        return get(self.port, path).body.decode()

    def remember(self) -> None:
        """Keep in mind who must be ended when the test is over."""
        try:
            recorded = pidfile.read(self.pid_file)
        except ReleaseError:
            return
        if recorded is not None:
            self._pids.add(recorded.pid)

    def close(self) -> None:
        """End every server of the site, by its id."""
        self.remember()
        for pid in self._pids:
            command = Path(f"/proc/{pid}/cmdline")
            if command.exists() and str(self.root) in command.read_text():
                os.kill(pid, 9)
        for listed in self.store.releases():
            for pid in listed.pids:
                os.kill(pid, 9)
        shutil.rmtree(self.root.parent)


def _library() -> Iterator[tuple[Path, Path]]:
    """Return all files that paster needs, and where they are below ``lib``."""
    metadata = next(SOURCE.parent.glob("pointsman*.egg-info"))
    ours = (SOURCE, metadata, *map(_folder, (packaging, waitress)))
    for folder, root in [(one, one.parent) for one in ours] + [(DEPLOY, PASTE.parent)]:
        for path in sorted(folder.rglob("*")):
            if path.is_file() and "__pycache__" not in path.parts:
                yield path, path.relative_to(root)


def _script(module: str, python: str) -> str:
    ours = str(SOURCE.parent)
    # For the command of operators; who only serves need not be able to read them.
    paths = [path for path in sys.path if path and path != ours]
    return SCRIPT.format(python=python, paths=paths, module=module)


def document(done: subprocess.CompletedProcess[str]) -> Any:
    """Return what ``--json`` printed."""
    assert done.stdout, done.stderr
    return json.loads(done.stdout)
