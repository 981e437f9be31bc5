"""A published sdist, pip, an ini in /etc and a .wsgi file are a site under Apache.

The files and commands are those of docs/operating/publishing.md.
"""

from __future__ import annotations

import http.client
import os
import shutil
import signal
import subprocess
from contextlib import closing, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from functional.releases.machine import blocks, free_port, is_for_apache
from system_packages import require
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from functional.releases.machine import Machine

PAGE = "docs/operating/publishing.md"
_MODULES = Path("/usr/lib/apache2/modules")
HTTPD = """
ServerName localhost
ServerRoot TOP
Listen 127.0.0.1:PORT
PidFile TOP/run/apache.pid
ErrorLog TOP/run/error.log
Mutex file:TOP/run
DefaultRuntimeDir TOP/run
WSGISocketPrefix TOP/run/wsgi
LoadModule mpm_event_module MODULES/mod_mpm_event.so
LoadModule authz_core_module MODULES/mod_authz_core.so
LoadModule wsgi_module MODULES/mod_wsgi.so
USER
Include TOP/etc/apache2/sites-enabled/mysite.conf
"""
SERVICE = """
import os, sys
from pointsman import Service

class Where(Service):
    path = "/where"

    def handle(self, request):
        return {"pid": os.getpid(), "python": sys.prefix}
"""


class Site:
    """What the page makes: an environment, an ini, a .wsgi file, a part of Apache's."""

    def __init__(self, machine: Machine) -> None:
        self._machine = machine
        self.top, self.port = machine.top, free_port()
        for mark, _, text in blocks(PAGE):
            if mark.startswith("/"):
                file = Path(machine.here(mark))
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(machine.here(text))
        services = self.top / "etc/mysite/services"
        services.mkdir()
        (services / "places.py").write_text(SERVICE)
        (self.top / "run").mkdir()

    def configure(self) -> Path:
        """Write the configuration around the part of the page; return it."""
        user = ""
        if os.geteuid() == 0:
            user = "User www-data\nGroup www-data"
            shutil.chown(self.top / "var/lib/mysite", "www-data", "www-data")
        words = {"TOP": self.top, "PORT": self.port, "MODULES": _MODULES, "USER": user}
        conf = HTTPD
        for word, value in words.items():
            conf = conf.replace(word, str(value))
        path = self.top / "httpd.conf"
        path.write_text(conf)
        return path

    def get(self, path: str) -> tuple[int, str]:
        """Ask Apache; status 0 while it does not listen."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, 20)) as link:
            with suppress(OSError):
                link.request("GET", path)
                answer = link.getresponse()
                return answer.status, answer.read().decode()
        return 0, ""


@pytest.fixture(name="site")
def _site(pointsman: Machine) -> Iterator[Site]:
    """Serve the site with Debian's Apache, once pointsman is installed by pip."""
    program = require("/usr/sbin/apache2", "apache2-bin")
    require(str(_MODULES / "mod_wsgi.so"), "libapache2-mod-wsgi-py3")
    if not is_for_apache():
        pytest.skip("the wheels of this build are not for the Python of mod_wsgi")
    site = Site(pointsman)
    command = [program, "-f", str(site.configure()), "-DFOREGROUND"]
    server = subprocess.Popen(command, start_new_session=True)
    try:
        yield site
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


def test_a_published_sdist_is_a_site_under_apache(site: Site) -> None:
    """Installed by pip into a fresh environment, it serves from there, and is ready."""
    wait_for(
        lambda: site.get("/_pointsman/health/ready")[0] == 200,
        f"it is ready; see {site.top}/run/error.log",
    )
    status, body = site.get("/where")

    assert (200, True) == (status, f'"{site.top}/srv/mysite"' in body)
