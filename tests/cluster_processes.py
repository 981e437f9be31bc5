"""How the servers of a cluster are started, asked, and ended: real processes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, ClassVar, Self

import httpx

from connections import ONE_SHOT
from system_packages import require
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[1]
API = "/_pointsman/api/v1"
# WebOb 1.8 imports cgi; every other warning is an error in the servers too.
_WARNINGS = ("-W", "error", "-W", "ignore:'cgi' is deprecated:DeprecationWarning")


def importable() -> list[str]:
    """Return the folders of our modules and eggs, without the standard library."""
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return [
        path
        for path in sys.path
        if path and path not in standard and not path.endswith((".zip", "lib-dynload"))
    ]


def python(entry: str, *arguments: str) -> list[str]:
    """Return how to run a console script's function in a process of its own."""
    module, _, function = entry.partition(":")
    code = f"import sys; from {module} import {function}; sys.exit({function}())"
    return [sys.executable, *_WARNINGS, "-c", code, *arguments]


class Server:
    """One server: a process, with children where it has several nodes."""

    nodes: ClassVar[int] = 1
    keeps_alive: ClassVar[bool] = True  # connections, for more requests

    def __init__(self, ini: Path, port: int) -> None:
        self.ini, self.port = ini, port
        self.log = ini.with_suffix(".log")
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return what is run, without a shell."""
        return python("pointsman.serving.paster:main", "serve", str(self.ini))

    # PROCESS

    def launch(self, prefix: tuple[str, ...] = (), **environment: str) -> Self:
        """Run it, and wait for nothing; ``prefix`` is a command that runs commands."""
        clean = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
        paths = os.pathsep.join([str(self.ini.parent), *importable()])
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*prefix, *self.command()],
                cwd=self.ini.parent,
                env={**clean, "PYTHONPATH": paths, **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self

    def start(self, prefix: tuple[str, ...] = (), **environment: str) -> Self:
        """Run it, and wait until it says that it is ready."""
        return self.launch(prefix, **environment).wait_until_ready()

    def wait_until_ready(self) -> Self:
        """Wait until it says that it is ready; fail when it has ended."""
        wait_for(self.is_ready, f"{self.ini.name} is ready", 60)
        return self

    def is_ready(self) -> bool:
        """Tell whether it answers and is ready; fail when it has ended."""
        path = "/_pointsman/health/ready"
        return self.answers() and self.get(path).status_code == 200

    def is_open(self) -> bool:
        """Tell whether somebody listens; this is no request."""
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
            return True
        return False

    def answers(self) -> bool:
        """Tell whether it answers, ready or not; fail when it has ended."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()
        with suppress(httpx.HTTPError):
            return bool(self.get("/_pointsman/health/live").status_code)
        return False

    def wait_for_its_end(self) -> int:
        """Wait until the process has ended; return how, negative by a signal."""
        assert self.process is not None
        try:
            return self.process.wait(60)
        except subprocess.TimeoutExpired:
            raise AssertionError(self.log.read_text()) from None

    def stop(self) -> int:
        """Let it finish its requests and end."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.wait_for_its_end()

    def kill(self) -> None:
        """End it with all that it has started, as a power switch would."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    # CALLS

    @property
    def token(self) -> str:
        """Return the administrator's token of this machine."""
        return (self.ini.parent / "control.token").read_text().strip()

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask on a connection of its own, with the token for the control surface."""
        headers = dict(more.pop("headers", {}))
        if path.startswith(API):
            headers.setdefault("Authorization", f"Bearer {self.token}")
        url = f"http://127.0.0.1:{self.port}{path}"
        return ONE_SHOT.request(method, url, headers=headers, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Ask for a page."""
        return self.request("GET", path, **more)

    def text(self, path: str = "/shop") -> str:
        """Return what a service answers, or the status when it is none of 200."""
        answer = self.get(path)
        return answer.text if answer.status_code == 200 else str(answer.status_code)

    def put(
        self, package: str, source: str | bytes, wait: float = 30, **headers: str
    ) -> httpx.Response:
        """Upload a package and wait for what becomes of it."""
        return self.request(
            "PUT",
            f"{API}/packages/{package}?wait={wait:g}",
            content=source,
            headers=headers,
        )

    def post(self, sources: Mapping[str, str], wait: float = 30) -> httpx.Response:
        """Upload modules that go together, by name."""
        files = [("file", (f"{name}.py", text)) for name, text in sources.items()]
        return self.request("POST", f"{API}/packages?wait={wait:g}", files=files)

    def deploy(self, **sources: str) -> httpx.Response:
        """Upload modules that must become active."""
        answer = self.post(sources)
        assert 200 == answer.status_code, answer.text
        return answer


class Gunicorn(Server):
    """Two workers, each a node."""

    nodes = 2
    options: ClassVar[tuple[str, ...]] = ()

    def command(self) -> list[str]:
        two = ("--workers=2", "--threads=4", "--no-control-socket", *self.options)
        bind = ("--bind", f"127.0.0.1:{self.port}", "--graceful-timeout=10")
        return python("gunicorn.app.wsgiapp:run", *two, *bind, "--paste", str(self.ini))


class PreloadingGunicorn(Gunicorn):
    """Makes the application in the arbiter, which then forks the workers."""

    options = ("--preload",)


class Uwsgi(Server):
    """A master that makes the application, and forks two workers; each is a node.

    It runs the system's Python, and keeps no connection open.
    """

    nodes = 2
    keeps_alive = False
    options: ClassVar[tuple[str, ...]] = ()

    def command(self) -> list[str]:
        minor = sys.version_info[1]
        plugin = f"/usr/lib/uwsgi/plugins/python3{minor}_plugin.so"
        require(plugin, "uwsgi-plugin-python3")
        uwsgi = require("uwsgi", "uwsgi-core")
        two = ("--processes=2", "--threads=4", "--enable-threads", *self.options)
        fit = ("--plugin=python3", "--master", "--die-on-term", "--need-app")
        where = ("--http-socket", f"127.0.0.1:{self.port}", "--disable-logging")
        return [uwsgi, *fit, *two, *where, "--ini-paste", str(self.ini)]


class LazyUwsgi(Uwsgi):
    """Each worker makes its application itself."""

    options = ("--lazy-apps",)


class RecyclingUwsgi(Uwsgi):
    """Workers end after 300 requests, and others come instead.

    They have one thread: with more, a worker of uWSGI that shall end hangs.
    """

    options = ("--threads=1", "--max-requests=300", "--min-worker-lifetime=1")


class Apache(Server):
    """A daemon group of mod_wsgi with two processes, as www-data where we are root.

    It runs the system's Python.  The folder of the ini must be one that www-data
    can reach; the sources are bound into it where they lie out of its reach.
    """

    nodes = 2
    #: Lines of the configuration: every process is a node before its first request.
    script: ClassVar[str] = """
WSGIImportScript $FOLDER/app.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias / $FOLDER/app.wsgi process-group=site application-group=%{GLOBAL}
"""

    def command(self) -> list[str]:
        minor = sys.version_info[1]
        modules = Path("/usr/lib/apache2/modules")
        wsgi = modules / f"mod_wsgi.so-3.{minor}"
        require(str(wsgi), "libapache2-mod-wsgi-py3")
        apache = require("/usr/sbin/apache2", "apache2-bin")
        folder = self.ini.parent
        conf = Template(HTTPD.replace("SCRIPT", self.script)).substitute(
            FOLDER=folder, PORT=self.port, MODULES=modules, WSGI=wsgi.name
        )
        (folder / "httpd.conf").write_text(conf)
        paths = repr(self._paths())
        script = Template(SCRIPT).substitute(PATHS=paths, INI=self.ini)
        (folder / "app.wsgi").write_text(script)
        self.tree.mkdir(exist_ok=True)
        serve = [apache, "-f", f"{folder}/httpd.conf", "-DFOREGROUND"]
        if os.geteuid():  # it stays who we are, and reads what we can
            self.tree.rmdir()
            self.tree.symlink_to(ROOT)
            return serve
        for path in (folder, *folder.rglob("*")):
            if path != self.tree:
                shutil.chown(path, "www-data", "www-data")
        return self._within_reach(serve)

    @property
    def tree(self) -> Path:
        """Return where www-data can read the sources."""
        return self.ini.parent / "tree"

    def _paths(self) -> list[str]:
        """Return what is imported from: ours, where www-data can read it."""
        return [
            p.replace(str(ROOT), str(self.tree), 1) if p.startswith(f"{ROOT}/") else p
            for p in [str(self.ini.parent), *importable()]
        ]

    def _within_reach(self, command: list[str]) -> list[str]:
        bind = f'mount --bind {ROOT} {self.tree} && exec "$@"'
        return ["unshare", "-m", "sh", "-c", bind, "sh", *command]

    def typed(self, *words: str) -> str:
        """Type a command for its ledger; return what it tells on standard error.

        Root becomes www-data in it, who can read the system's Python.
        """
        minor = sys.version_info[1]
        python = f"/usr/bin/python3.{minor}" if not os.geteuid() else sys.executable
        code = "import sys; from pointsman.cli import main; sys.exit(main())"
        line = [python, "-c", code, *words, "--ledger", "--ini", str(self.ini)]
        done = subprocess.run(
            line if os.geteuid() else self._within_reach(line),
            env={**os.environ, "PYTHONPATH": os.pathsep.join(self._paths())},
            cwd=self.ini.parent,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert 0 == done.returncode, done.stdout + done.stderr
        return done.stderr

    def launch(self, prefix: tuple[str, ...] = (), **environment: str) -> Self:
        # SetEnv of Apache is for requests; the daemons inherit only this.
        return super().launch(prefix, **{**environment, "PYTHONWARNINGS": "default"})


class IdleApache(Apache):
    """A process is no node before its first request."""

    script = """
WSGIProcessGroup site
WSGIApplicationGroup %{GLOBAL}
WSGIScriptAlias / $FOLDER/app.wsgi
"""


HTTPD = """
ServerName localhost
Listen 127.0.0.1:$PORT
PidFile $FOLDER/apache.pid
Mutex file:$FOLDER default
ErrorLog /dev/stderr
LogLevel warn
LoadModule mpm_event_module $MODULES/mod_mpm_event.so
LoadModule authz_core_module $MODULES/mod_authz_core.so
LoadModule wsgi_module $MODULES/$WSGI
User www-data
Group www-data
WSGISocketPrefix $FOLDER/wsgi
WSGIDaemonProcess site processes=2 threads=8 home=$FOLDER graceful-timeout=15
SCRIPT
WSGIPassAuthorization On
<Directory $FOLDER>
  Require all granted
</Directory>
"""

SCRIPT = """
import logging
import sys

sys.path[:0] = $PATHS
logging.basicConfig(level=logging.INFO)

from paste.deploy import loadapp

application = loadapp("config:$INI")
"""


KINDS: dict[str, type[Server]] = {
    "paster": Server,
    "gunicorn": Gunicorn,
    "gunicorn --preload": PreloadingGunicorn,
    "uwsgi": Uwsgi,
    "uwsgi --lazy-apps": LazyUwsgi,
    "uwsgi --max-requests": RecyclingUwsgi,
    "apache": Apache,
    "apache, idle": IdleApache,
}
