"""The pid file, and who a process is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pointsman.errors import ReleaseError
from pointsman.serving import pidfile
from pointsman.serving.pidfile import Recorded
from pointsman.serving.processes import Identity, hold, start_time, uptime

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="process")
def _process() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=-1) as process:
        yield process
        process.kill()


def identity(process: subprocess.Popen[bytes]) -> Identity:
    """Return who the process is."""
    start = start_time(process.pid)
    assert start is not None
    return Identity(process.pid, start)


def test_a_namesake_is_somebody_else(process: subprocess.Popen[bytes]) -> None:
    """The same pid with another start time is not alive, and cannot be held."""
    real = identity(process)
    namesake = Identity(real.pid, real.start - 1)
    with hold(real) as held, hold(namesake) as not_held:
        answer = (real.alive(), namesake.alive(), held is None, not_held is None)

    assert (True, False, False, True) == answer


def test_a_zombie_is_dead(process: subprocess.Popen[bytes]) -> None:
    """Nobody has waited for it, but it serves nothing any more."""
    real = identity(process)
    with hold(real) as held:
        assert held is not None
        before = held.gone(0)
        held.send(signal.SIGKILL)
        after = held.gone(10)

    assert (False, True, False) == (before, after, real.alive())


def test_uptime_counts_from_the_start(process: subprocess.Popen[bytes]) -> None:
    """A process that was just started is younger than this one."""
    assert 0 <= uptime(identity(process)) <= uptime(Identity.own())


def test_a_held_file_names_its_holder(tmp_path: Path) -> None:
    """While it is held it names a living process; afterwards it is gone."""
    path = tmp_path / "a.pid"
    with pidfile.held(path):
        names = path.read_text().split()
    own = Identity.own()

    assert [str(own.pid), str(own.start)] == names
    assert not path.exists()


def test_only_one_process_holds_a_file(tmp_path: Path) -> None:
    """A second one is refused and told the first one's pid."""
    path = tmp_path / "a.pid"
    code = (
        "import sys, pathlib; from pointsman.serving import pidfile\n"
        "with pidfile.held(pathlib.Path(sys.argv[1])):\n"
        "    print('held', flush=True); input()"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
    ) as holder:
        assert holder.stdout is not None
        assert b"held\n" == holder.stdout.readline()
        with pytest.raises(ReleaseError) as refused, pidfile.held(path):
            pass
        holder.kill()
    with pidfile.held(path):
        replaced = pidfile.read(path)

    assert f"(pid {holder.pid})" in str(refused.value)
    assert replaced is not None
    assert os.getpid() == replaced.pid


def test_a_file_of_another_server_is_not_removed(tmp_path: Path) -> None:
    """If the file was replaced meanwhile, it stays."""
    path = tmp_path / "a.pid"
    with pidfile.held(path):
        path.unlink()
        path.write_text("1\n2\n")

    assert Recorded(1, 2) == pidfile.read(path)


@pytest.mark.parametrize("text", ["", "\n"])
def test_an_empty_file_names_nobody(tmp_path: Path, text: str) -> None:
    """An empty pid file is as good as none."""
    path = tmp_path / "a.pid"
    path.write_text(text)

    assert None is pidfile.read(path)


def test_nonsense_is_no_pid_file(tmp_path: Path) -> None:
    """What is no number is refused, with the file's name."""
    path = tmp_path / "a.pid"
    path.write_text("deploy.ini")

    with pytest.raises(ReleaseError, match="is no pid file"):
        pidfile.read(path)
