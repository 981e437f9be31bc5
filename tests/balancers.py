"""Load balancers in front of several servers of one site: real processes."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import closing
from string import Template
from typing import TYPE_CHECKING, ClassVar, Self

from cluster_site import free_port
from functional.serving.hammer import Client, LostError
from system_packages import require
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from cluster_processes import Server


class Balancer:
    """A balancer on ``port``; close it at the end.

    Its configuration is the one that docs/operating/load-balancers.md has, with less
    time between two looks.  ``retries`` is how often HAProxy tries to connect again.
    """

    conf: ClassVar[str] = ""
    line: ClassVar[str] = ""

    def __init__(
        self, folder: Path, servers: Iterable[Server], retries: int = 3
    ) -> None:
        self.port = free_port()
        self.folder = folder / "balancer"
        self.folder.mkdir()
        self.log = self.folder / "log"
        lines = [
            Template(self.line).substitute(NAME=one.ini.stem, PORT=one.port)
            for one in servers
        ]
        self._file = self.folder / "conf"
        self._file.write_text(
            Template(self.conf).substitute(
                FOLDER=self.folder,
                PORT=self.port,
                SERVERS="\n".join(lines),
                RETRIES=retries,
            )
        )
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, conf: Path) -> list[str]:
        """Return how to run it in the foreground."""
        raise NotImplementedError

    def start(self) -> Self:
        """Run it, and wait until a request comes through."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(self._file),
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        wait_for(self._answers, "the balancer answers")
        return self

    def _answers(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, self.log.read_text()
        try:
            return bool(self.who("/_pointsman/health/live"))
        except (OSError, LostError):
            return False

    def who(self, path: str = "/shop/process") -> str:
        """Return the first word of an answer: for this page, which process it was."""
        with closing(Client(self.port)) as client:
            client.send(path, "Connection: close")
            return client.receive().body.split()[0].decode()

    def serving(self, seconds: float = 0.5) -> set[str]:
        """Return which processes answer, in so many seconds."""
        end, found = time.monotonic() + seconds, set()
        while time.monotonic() < end:
            found.add(self.who())
        return found

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Haproxy(Balancer):
    """Asks each server whether it is ready, and asks no other for requests."""

    conf = """
defaults
  mode http
  timeout connect 2s
  timeout client 60s
  timeout server 60s
  timeout check 5s
  retries $RETRIES
  option redispatch 1

frontend site
  bind 127.0.0.1:$PORT
  default_backend nodes

backend nodes
  balance roundrobin
  option httpchk GET /_pointsman/health/ready
  http-check expect status 200
  default-server check inter 100ms fall 1 rise 1
$SERVERS
"""
    line = "  server $NAME 127.0.0.1:$PORT"

    def command(self, conf: Path) -> list[str]:
        haproxy = require("/usr/sbin/haproxy", "haproxy")
        return [haproxy, "-db", "-f", str(conf)]


class Nginx(Balancer):
    """Learns from connections that are refused, and then asks the next one."""

    conf = """
daemon off;
pid $FOLDER/pid;
error_log $FOLDER/error.log;
worker_processes 1;
events {}
http {
  access_log off;
  client_body_temp_path $FOLDER/body;
  proxy_temp_path $FOLDER/proxy;
  fastcgi_temp_path $FOLDER/fastcgi;
  uwsgi_temp_path $FOLDER/uwsgi;
  scgi_temp_path $FOLDER/scgi;
  upstream nodes {
    keepalive 16;
$SERVERS
  }
  server {
    listen 127.0.0.1:$PORT;
    location / {
      proxy_pass http://nodes;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $$host;
    }
  }
}
"""
    line = "    server 127.0.0.1:$PORT max_fails=1 fail_timeout=1s;"

    def command(self, conf: Path) -> list[str]:
        nginx = require("/usr/sbin/nginx", "nginx-light")
        return [nginx, "-e", str(self.log), "-c", str(conf)]


KINDS: dict[str, type[Balancer]] = {"haproxy": Haproxy, "nginx": Nginx}
