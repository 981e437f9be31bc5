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
