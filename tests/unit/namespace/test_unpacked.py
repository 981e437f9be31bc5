"""Folders of files for each version, and what killed processes left of them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from pointsman.errors import ReleaseError
from pointsman.model import Artifact, Kind
from pointsman.namespace.unpacked import Unpacked, started

if TYPE_CHECKING:
    from pathlib import Path

ARTIFACT = Artifact(
    "crm", Kind.TREE, {"crm/__init__.py": b"x = 1\n", "crm/t/a.html": b"\xff"}, "here"
)


def test_place(tmp_path: Path) -> None:
    """All files of an artifact are laid out, for this user alone."""
    unpacked = Unpacked(tmp_path)
    folder = unpacked.place(ARTIFACT)

    assert b"x = 1\n" == (folder / "crm" / "__init__.py").read_bytes()
    assert b"\xff" == (folder / "crm" / "t" / "a.html").read_bytes()
    assert 0 == stat.S_IMODE(folder.stat().st_mode) & 0o077
    assert [folder.name] == [path.name for path in unpacked.base.iterdir()]


def test_two_users_of_one_folder(tmp_path: Path) -> None:
    """The same bytes lie in one folder until the last user has left it."""
    unpacked = Unpacked(tmp_path)
    first, second = unpacked.place(ARTIFACT), unpacked.place(ARTIFACT)

    assert first == second
    assert not unpacked.leave(first)
    assert (first / "crm").is_dir()
    assert unpacked.leave(first)
    assert not first.exists()
    assert unpacked.place(ARTIFACT).is_dir()


def test_two_versions(tmp_path: Path) -> None:
    """Other bytes lie in another folder."""
    unpacked = Unpacked(tmp_path)
    other = Artifact("crm", Kind.TREE, {"crm/__init__.py": b"x = 2\n"}, "here")
    one, two = unpacked.place(ARTIFACT), unpacked.place(other)
    unpacked.leave(one)

    assert b"x = 2\n" == (two / "crm" / "__init__.py").read_bytes()


def test_what_was_laid_out_half(tmp_path: Path) -> None:
    """Leftovers of an attempt that failed are laid out anew."""
    unpacked = Unpacked(tmp_path)
    folder = unpacked.place(ARTIFACT)
    unpacked.leave(folder)
    for name in (folder.name, f".{folder.name}"):
        (folder.with_name(name) / "crm").mkdir(parents=True)

    assert b"x = 1\n" == (unpacked.place(ARTIFACT) / "crm" / "__init__.py").read_bytes()


def test_a_module_of_the_cache_is_linked(tmp_path: Path) -> None:
    """It takes no second file; without the right bytes there it is written."""
    cache = tmp_path / "artifacts"
    cache.mkdir()
    unpacked = Unpacked(tmp_path, cache)
    here, gone, damaged = (
        Artifact("crm", Kind.MODULE, {"crm.py": f"x = {n}\n".encode()})
        for n in range(3)
    )
    (cache / here.digest).write_bytes(b"x = 0\n")
    (cache / damaged.digest).write_bytes(b"x = 9\n")
    placed = [unpacked.place(one) / "crm.py" for one in (here, gone, damaged)]

    assert [b"x = 0\n", b"x = 1\n", b"x = 2\n"] == [
        path.read_bytes() for path in placed
    ]
    assert [2, 1, 1] == [path.stat().st_nlink for path in placed]
    unpacked.close()
    assert {here.digest, damaged.digest} == {path.name for path in cache.iterdir()}


def test_sweep(tmp_path: Path) -> None:
    """Folders of dead processes go; those of living ones, and others, stay."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    run = tmp_path / "run"
    ours = Unpacked(tmp_path)
    ours.place(ARTIFACT)
    dead = run / f"{gone.pid}-1"
    recycled = run / f"{os.getpid()}-1"
    strange = run / "notes"
    for folder in (dead, recycled, strange):
        (folder / "crm").mkdir(parents=True)
    ours.sweep()

    assert sorted([ours.base, strange]) == sorted(run.iterdir())


def test_sweep_of_nothing(tmp_path: Path) -> None:
    """A work directory that was never used has nothing to remove."""
    Unpacked(tmp_path).sweep()

    assert [] == list(tmp_path.iterdir())


def test_close(tmp_path: Path) -> None:
    """Closing removes what this process has laid out."""
    unpacked = Unpacked(tmp_path)
    unpacked.place(ARTIFACT)
    unpacked.close()

    assert [] == list((tmp_path / "run").iterdir())


def test_close_in_a_fork(tmp_path: Path) -> None:
    """A forked process does not remove the files of the one that it came from."""
    unpacked = Unpacked(tmp_path)
    folder = unpacked.place(ARTIFACT)
    unpacked._pid += 1
    unpacked.close()

    assert folder.is_dir()


def test_a_disk_that_does_not_take_it(tmp_path: Path) -> None:
    """The error names what, where, why and what to do."""
    (tmp_path / "run").write_text("a file where a folder should be")

    with pytest.raises(ReleaseError, match=r"cannot lay out crm in .*room"):
        Unpacked(tmp_path).place(ARTIFACT)


def test_started() -> None:
    """A process has one start for its life; one that is gone has none."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()

    assert started(os.getpid()) == started(os.getpid()) > 0
    assert 0 == started(process.pid)


def test_started_of_a_zombie() -> None:
    """A process that has ended is gone, also before its parent has asked for it."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert 0 == started(process.pid)
    process.wait()


def test_two_in_one_process_do_not_meet(tmp_path: Path) -> None:
    """Two hosts of one process may share a work directory; neither ends the other."""
    one, two = Unpacked(tmp_path), Unpacked(tmp_path)
    kept = one.place(ARTIFACT)
    two.place(ARTIFACT)
    two.close()

    assert b"x = 1\n" == (kept / "crm" / "__init__.py").read_bytes()
