"""A site under a real Apache: two daemon processes of mod_wsgi, as www-data."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from contextlib import closing
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any, Self

from functional.releases.sites_of_trees import build
from functional.serving.hammer import get
from pointsman.releases.activation import Activation
from pointsman.releases.apache import Apache
from pointsman.releases.manifest import Python
from pointsman.releases.store import Store
from system_packages import require
from waiting import wait_for

if TYPE_CHECKING:
    from pointsman.releases.layout import Release

HTTPD = """
ServerName localhost
Listen 127.0.0.1:$PORT
PidFile $FOLDER/apache.pid
Mutex file:$FOLDER default
ErrorLog $FOLDER/error.log
LogLevel warn
LoadModule mpm_event_module $MODULES/mod_mpm_event.so
LoadModule authz_core_module $MODULES/mod_authz_core.so
LoadModule wsgi_module $MODULES/$WSGI
User www-data
Group www-data
WSGISocketPrefix $FOLDER/wsgi
Include $ROOT/apache/site.conf
"""

#: What a release renders: the real path of its own tree.
CONF = """
WSGIDaemonProcess site processes=$PROCESSES threads=8 display-name=%{GROUP} \
    graceful-timeout=20 shutdown-timeout=20
WSGIImportScript $TREE/etc/app.wsgi process-group=site application-group=%{GLOBAL}
WSGIScriptAlias / $TREE/etc/app.wsgi process-group=site application-group=%{GLOBAL}
<Directory $TREE/etc>
  Require all granted
</Directory>
"""

APP = """
import os
import sys
import time

sys.path.insert(0, os.path.join("$TREE", "lib"))
import site_version
$BREAKS


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path.startswith("/slow"):
        time.sleep(float(path[len("/slow"):]))
    if path == "/die":
        os._exit(1)
    # Asked when the answer is made: a release that is torn would answer two versions.
    import site_late

    body = f"{site_version.VERSION} {site_late.VERSION}".encode()
    if path == "/pid":
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


class ApacheSite:
    """The site, and its Apache.  Stop it at the end."""

    def __init__(self, folder: Path, processes: int = 2) -> None:
        self.folder, self.root = folder, folder / "site"
        self.store = Store(self.root)
        self.store.prepare()
        self._processes = processes
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None
        if not os.geteuid():
            who = pwd.getpwnam("www-data")
            os.chown(self.store.root.var, who.pw_uid, who.pw_gid)

    def build(self, version: str, breaks: str = "") -> Release:
        """Seal a release, with all that Apache needs; ``breaks`` is code at import."""
        tree = self.store.root.releases / f"site-{version}"
        known = {"TREE": tree, "BREAKS": breaks, "PROCESSES": self._processes}
        module = f"VERSION = {version!r}\n"
        files = {
            "lib/site_version.py": module,
            "lib/site_late.py": module,
            "etc/app.wsgi": Template(APP).substitute(known),
            "etc/apache.conf": Template(CONF).substitute(known),
        }
        # Ours may lie where www-data cannot get; mod_wsgi has the system's.
        return build(self.root, version, files, Python("3", "/usr/bin/python3"))

    def server(self, ready_timeout: float = 20) -> Apache:
        """Return Apache as an activation sees it."""
        return Apache(self.store.root, ready_timeout=ready_timeout)

    def activation(self, server: Apache | None = None, **options: Any) -> Activation:
        """Return one call with Apache."""
        server = server or self.server()
        return Activation(self.store, server, kind="apache", **options)

    def start(self) -> Self:
        """Start Apache, and wait until it answers."""
        # It brings a Python of its own, for which releases without pointsman will do.
        modules = Path("/usr/lib/apache2/modules")
        wsgi = modules / "mod_wsgi.so"
        require(str(wsgi), "libapache2-mod-wsgi-py3")
        apache = require("/usr/sbin/apache2", "apache2-bin")
        conf = self.folder / "httpd.conf"
        conf.write_text(
            Template(HTTPD).substitute(
                FOLDER=self.folder,
                ROOT=self.root,
                PORT=self.port,
                MODULES=modules,
                WSGI=wsgi.name,
            )
        )
        self._process = subprocess.Popen(
            [apache, "-f", str(conf), "-DFOREGROUND"],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )
        wait_for(self._answers, "Apache answers")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert None is self._process.poll(), self.log()
        try:
            return bool(self.get())
        except OSError:
            return False

    def get(self, path: str = "/") -> str:
        """Return an answer's body."""
        return get(self.port, path).body.decode()

    def pids(self) -> set[int]:
        """Return the daemon processes that serve."""
        return set(self.server()._processes())

    def log(self) -> str:
        """Return what Apache has noted."""
        return (self.folder / "error.log").read_text(errors="replace")

    def stop(self) -> None:
        """End it with all its processes."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(20)
            finally:
                if self._process.poll() is None:
                    os.killpg(self._process.pid, signal.SIGKILL)
                    self._process.wait()
        shutil.rmtree(self.folder)
