"""What servers say of themselves, as far as no real one is needed."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest

from pointsman import forks
from pointsman.errors import ConfigError


def test_other_servers_serve_here() -> None:
    """Where nothing says otherwise, who loads serves."""
    assert forks.serves_here()


def test_embedded_mode_of_mod_wsgi_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside of a daemon process, the group that mod_wsgi tells is empty."""
    embedded = SimpleNamespace(process_group="")
    monkeypatch.setitem(sys.modules, "mod_wsgi", embedded)

    with pytest.raises(ConfigError, match="WSGIDaemonProcess and a WSGIProcessGroup"):
        forks.refuse_unfit_server()


@pytest.mark.parametrize("module", [SimpleNamespace(process_group="site"), None])
def test_daemon_mode_of_mod_wsgi_serves(
    monkeypatch: pytest.MonkeyPatch, module: object
) -> None:
    """A daemon process has a group; and mod_wsgi may be installed and not in use."""
    package = module or SimpleNamespace(server=None)
    monkeypatch.setitem(sys.modules, "mod_wsgi", package)

    forks.refuse_unfit_server()

    assert forks.serves_here()


def uwsgi(version: bytes, **options: bytes) -> SimpleNamespace:
    """Return the module that uWSGI offers, in a worker."""
    found = {key.replace("_", "-"): value for key, value in options.items()}
    return SimpleNamespace(
        opt=found, version=version, numproc=2, masterpid=lambda: 1, worker_id=lambda: 1
    )


def test_uwsgi_that_would_hang_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """With threads, a worker of an old uWSGI does not survive its last request."""
    old = uwsgi(b"2.0.21-debian", threads=b"4", max_requests=b"1000")
    monkeypatch.setitem(sys.modules, "uwsgi", old)

    with pytest.raises(ConfigError, match="use max-worker-lifetime, or one thread"):
        forks.refuse_unfit_server()


@pytest.mark.parametrize(
    ("version", "options"),
    [
        (b"2.0.26", {"threads": b"4", "max_requests": b"1000"}),
        (b"2.0.21-debian", {"threads": b"1", "max_requests": b"1000"}),
        (b"2.0.21-debian", {"threads": b"4", "max_requests": b"0"}),
        (b"2.0.21-debian", {"threads": b"4", "max_worker_lifetime": b"60"}),
    ],
)
def test_uwsgi_that_recycles_is_taken(
    monkeypatch: pytest.MonkeyPatch, version: bytes, options: dict[str, bytes]
) -> None:
    """Where workers end as they should, they may."""
    module = uwsgi(version, enable_threads=b"true", **options)
    monkeypatch.setitem(sys.modules, "uwsgi", module)

    forks.refuse_unfit_server()

    assert forks.serves_here()


CHILD = """
import os
from pointsman import forks
forks.when_forked(lambda: print("told", flush=True))
pid = os.fork()
if not pid:
    os._exit(0)
os.waitpid(pid, 0)
"""


def test_forks_of_anybody_else_are_not_told() -> None:
    """A fork that no server makes for a worker calls nobody back."""
    done = subprocess.run(
        [sys.executable, "-c", CHILD],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        check=True,
    )

    assert (b"", b"") == (done.stdout, done.stderr)
