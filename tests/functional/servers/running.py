"""The same site under each WSGI server: how to start it, ask it, and stop it."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import sysconfig
import textwrap
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from site_folder import SiteFolder
from system_packages import require
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HOST = "127.0.0.1"

INI = """
[pipeline:main]
pipeline = services elsewhere

[filter:services]
use = egg:pointsman
service_sources = %(here)s/service-sources.txt
keep_warm = 0

[app:elsewhere]
paste.app_factory = elsewhere:make

[server:main]
use = egg:pointsman#server
host = 127.0.0.1
port = PORT
threads = 4
"""

ELSEWHERE = """
def make(global_conf):
    def application(environ, start_response):
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [("elsewhere " + environ["PATH_INFO"]).encode()]
    return application

def site():
    from paste.deploy import loadapp
    return loadapp("config:INI")
"""


@dataclass(frozen=True)
class Answer:
    """One response, as the client has read it."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """Return the body's JSON."""
        return json.loads(self.body)


def command(server: str, ini: Path, port: int) -> list[str]:
    """Return how to serve the ini, without a shell."""
    address = f"{HOST}:{port}"
    if server == "paster":
        return python("pointsman.serving.paster:main", "serve", str(ini))
    if server == "waitress":
        call = ("--call", "elsewhere:site")
        return python("waitress.runner:run", f"--listen={address}", *call)
    if server.startswith("gunicorn"):
        two = ("--workers=2", "--threads=2", "--no-control-socket", "--bind", address)
        more = server.split()[1:]
        return python("gunicorn.app.wsgiapp:run", *two, *more, "--paste", str(ini))
    threads = ("--enable-threads", "--processes=2", "--http-socket", address)
    return [*uwsgi(), *threads, "--ini-paste", str(ini)]


def uwsgi() -> list[str]:
    """Return the start of a uWSGI command; its Python is the one of the system."""
    minor = sys.version_info[1]
    plugin = f"/usr/lib/uwsgi/plugins/python3{minor}_plugin.so"
    require(plugin, "uwsgi-plugin-python3")
    name = require("uwsgi", "uwsgi-core")
    return [name, "--plugin=python3", "--master", "--die-on-term", "--need-app"]


def python(entry: str, *arguments: str) -> list[str]:
    """Return how to call a function of a module as a command."""
    module, _, function = entry.partition(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    return [sys.executable, "-c", code, *arguments]


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which children import what this process can.

    The standard library is left out: uWSGI brings the system's.
    """
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    ours = [
        path
        for path in sys.path
        if path and path not in standard and not path.endswith((".zip", "lib-dynload"))
    ]
    found = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return {**found, "PYTHONPATH": os.pathsep.join([str(folder), *ours])}


class RunningServer:
    """One server process with a site below ``folder``.  Stop it at the end."""

    def __init__(self, server: str, folder: Path) -> None:
        self.name = server
        self.site = SiteFolder(folder)
        self.ini = folder / "deploy.ini"
        self.log = folder / "server.log"
        with closing(socket.socket()) as free:
            free.bind((HOST, 0))
            self.port: int = free.getsockname()[1]
        self.ini.write_text(INI.replace("PORT", str(self.port)))
        source = textwrap.dedent(ELSEWHERE.replace("INI", str(self.ini)))
        (folder / "elsewhere.py").write_text(source)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def processes(self) -> int:
        """Return how many processes it serves from."""
        return 2 if self.name.startswith(("gunicorn", "uwsgi")) else 1

    def start(self) -> None:
        """Start it, and wait until it answers."""
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                command(self.name, self.ini, self.port),
                cwd=self.ini.parent,
                env=environment(self.ini.parent),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        wait_for(self._answers, f"{self.name} answers")
        wait_for(self._has_all_nodes, f"{self.name} serves from all processes")

    def _has_all_nodes(self) -> bool:
        nodes = self.control("/api/v1/nodes").document["nodes"]
        return [one["state"] for one in nodes] == ["ready"] * self.processes

    def _answers(self) -> bool:
        assert self._process is not None
        if self._process.poll() is not None:
            raise AssertionError(self.log.read_text())
        try:
            return self.ask("/_pointsman/health/ready").status == 200
        except OSError:
            return False

    def ask(
        self,
        path: str,
        method: str = "GET",
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send one request on a connection of its own."""
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=20)) as link:
            link.request(method, path, body, dict(headers or {}))
            response = link.getresponse()
            return Answer(response.status, dict(response.headers), response.read())

    def control(self, path: str, method: str = "GET") -> Answer:
        """Ask the control surface, with the token."""
        token = (self.ini.parent / "var" / "control.token").read_text().strip()
        headers = {"Authorization": f"Bearer {token}"}
        return self.ask(f"/_pointsman{path}", method, headers=headers)

    def reload(self) -> Answer:
        """Let all of its processes read their sources again."""
        return self.control("/api/v1/reload", "POST")

    def stop(self) -> None:
        """End it and all that it has started."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(20)
        finally:
            if self._process.poll() is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
