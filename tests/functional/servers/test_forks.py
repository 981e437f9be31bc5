"""Who serves, who only loads, and who is told of it: with the real servers.

Broken on purpose, and seen to fail: without the look at the stack, every child of the
arbiter and of its workers is told; called back right after fork(2), a worker that
shall run as another user still runs as root.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from functional.servers.running import HOST, environment, python, uwsgi
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

INI = """
[app:main]
paste.app_factory = functional.servers.forking:make
"""


class Site:
    """A server with the application that tells of forks."""

    def __init__(self, command: list[str], folder: Path, port: int) -> None:
        self.port = port
        self.log = folder / "server.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def ask(self, path: str = "/") -> dict[str, Any]:
        """Return what one of its processes tells."""
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=20)) as link:
            link.request("GET", path)
            found: dict[str, Any] = json.loads(link.getresponse().read())
            return found

    def answers(self) -> bool:
        """Tell whether it serves."""
        if self.process.poll() is not None:
            raise AssertionError(self.log.read_text())
        try:
            return bool(self.ask())
        except OSError:
            return False

    def workers(self, path: str = "/", what: str = "marks") -> dict[int, Any]:
        """Return the marks of both workers, by pid, or something else they tell."""
        found: dict[int, Any] = {}

        def both() -> bool:
            answer = self.ask(path)
            found[answer["pid"]] = answer[what]
            return len(found) == 2

        wait_for(both, "both workers answer")
        return found


@contextmanager
def serving(folder: Path, server: str, *options: str) -> Iterator[Site]:
    """Serve the application, until the end of the block."""
    with closing(socket.socket()) as free:
        free.bind((HOST, 0))
        port: int = free.getsockname()[1]
    ini = folder / "deploy.ini"
    ini.write_text(INI)
    site = Site(command(server, ini, f"{HOST}:{port}", *options), folder, port)
    try:
        wait_for(site.answers, f"{server} answers")
        yield site
    finally:
        site.process.send_signal(signal.SIGTERM)
        try:
            site.process.wait(20)
        finally:
            if site.process.poll() is None:
                os.killpg(site.process.pid, signal.SIGKILL)
                site.process.wait()


def command(server: str, ini: Path, address: str, *options: str) -> list[str]:
    """Return how to serve the ini from two processes."""
    if server == "gunicorn":
        two = ("--workers=2", "--no-control-socket", "--bind", address, *options)
        return python("gunicorn.app.wsgiapp:run", *two, "--paste", str(ini))
    two = ("--enable-threads", "--processes=2", "--http-socket", address, *options)
    return [*uwsgi(), *two, "--ini-paste", str(ini)]


@pytest.mark.parametrize(
    ("server", "option"),
    [("gunicorn", "--no-sendfile"), ("uwsgi", "--lazy-apps")],
)
def test_workers_that_load_serve(tmp_path: Path, server: str, option: str) -> None:
    """A worker that loads the application itself serves, and is not called back."""
    with serving(tmp_path, server, option) as site:
        found = site.workers("/fork")

    assert {pid: [[pid, "serves", True]] for pid in found} == found


@pytest.mark.parametrize(
    ("server", "option"),
    [
        ("gunicorn", "--preload"),
        ("uwsgi", "--thunder-lock"),
        ("uwsgi", "--py-call-osafterfork"),
        ("uwsgi", "--mule"),
    ],
)
def test_workers_are_called_back(tmp_path: Path, server: str, option: str) -> None:
    """A process that loads for others does not serve; each worker is told, once.

    Neither a child that the loader forks for something else nor a child that a
    serving worker forks is told.
    """
    with serving(tmp_path, server, option) as site:
        loader = site.process.pid
        found = site.workers("/fork")

    assert {
        pid: [[loader, "loads", False], [pid, "forked", True]] for pid in found
    } == found
    assert loader not in found


def test_replaced_worker_is_called_back(tmp_path: Path) -> None:
    """A worker of gunicorn that comes later, in place of one that died, is told."""
    with serving(tmp_path, "gunicorn", "--preload") as site:
        first = site.workers()
        os.kill(next(iter(first)), signal.SIGKILL)
        wait_for(lambda: site.workers().keys() - first.keys(), "another worker serves")
        found = site.workers()

    assert [["forked", True]] * 2 == [marks[-1][1:] for marks in found.values()]


def test_reloaded_gunicorn_calls_back(tmp_path: Path) -> None:
    """Workers that gunicorn starts after SIGHUP are told, by its new configuration."""
    with serving(tmp_path, "gunicorn", "--preload") as site:
        first = site.workers()
        site.process.send_signal(signal.SIGHUP)
        wait_for(
            lambda: not site.workers().keys() & first.keys(), "all workers are new"
        )
        found = site.workers()

    assert [["forked", True]] * 2 == [marks[-1][1:] for marks in found.values()]


def test_called_back_with_the_rights_of_the_worker(tmp_path: Path) -> None:
    """What starts in a worker is not root when the worker shall not be."""
    user = os.geteuid() or 65534
    with serving(tmp_path, "gunicorn", "--preload", f"--user={user}") as site:
        found = site.workers(what="users")

    assert [[user]] * 2 == list(found.values())


HOOKS = """
from pathlib import Path

def post_worker_init(worker):
    Path(f"hook-{worker.pid}").write_text("")
"""


def test_hook_of_the_operator_is_called(tmp_path: Path) -> None:
    """Who has a ``post_worker_init`` for gunicorn keeps it."""
    (tmp_path / "hooks.py").write_text(HOOKS)
    with serving(tmp_path, "gunicorn", "--preload", "--config=hooks.py") as site:
        found = site.workers()

    assert {f"hook-{pid}" for pid in found} == {
        path.name for path in tmp_path.glob("hook-*")
    }


def test_uwsgi_without_a_master_is_refused(tmp_path: Path) -> None:
    """Processes that fork from one that serves already are refused in a sentence."""
    name, *rest = command("uwsgi", tmp_path / "deploy.ini", f"{HOST}:0")
    rest.remove("--master")
    (tmp_path / "deploy.ini").write_text(INI)
    done = subprocess.run(
        [name, *rest],
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=60,
        check=False,
    )

    assert done.returncode != 0
    assert b"uWSGI forks without a master" in done.stdout
    assert b"add master = true" in done.stdout
