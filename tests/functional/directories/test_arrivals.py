"""Half-copied files are not deployed: which files of a directory count."""

from __future__ import annotations

import fcntl
import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pointsman.sources import arrivals
from pointsman.sources.arrivals import (
    KINDS,
    PATIENT,
    SETTLE,
    TRUNCATED,
    Arrivals,
    Look,
    open_for_writing,
    unfinished,
)
from pointsman.sources.arrivals.zips import truncated

MOMENT = SETTLE + 0.001


class Clock:
    """A clock that is set by hand; files are stamped by the system's."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Folder:
    """A directory, and somebody who looks at it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.arrivals = Arrivals(path, self.clock)

    def look(self, after: float = 0.0, closed: tuple[str, ...] = ()) -> Look:
        self.clock.now += after
        return self.arrivals.look(closed)

    def whole(self, after: float = 0.0, closed: tuple[str, ...] = ()) -> list[str]:
        return list(self.look(after, closed).whole)


@pytest.fixture(name="folder")
def _folder(tmp_path: Path) -> Folder:
    made = Folder(tmp_path)
    assert [] == made.whole()  # what comes now was not there at the first look
    return made


@pytest.fixture(name="no_leases")
def _no_leases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Be on a file system, or look at somebody else's files, without leases."""

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(fcntl, "fcntl", refuse)


def test_a_closed_file_counts_when_it_has_stood_still(folder: Folder) -> None:
    """Two looks, a moment apart, must show the same."""
    (folder.path / "crm.py").write_text("x = 1\n")
    assert [] == folder.whole()
    assert [] == folder.whole(MOMENT / 3)
    assert ["crm.py"] == folder.whole(MOMENT)


def test_a_file_that_somebody_writes_to_does_not_count(folder: Folder) -> None:
    """However long it stands still; it counts soon after it is closed.

    Broken on purpose: without asking for the lease it is taken half-written.
    """
    with (folder.path / "crm.py").open("w") as file:
        file.write("x = ")
        file.flush()
        folder.look()
        look = folder.look(3600.0)
        assert {} == look.whole
        assert "somebody writes to it" == look.files["crm.py"].waits
        assert look.again is not None
    assert ["crm.py"] == folder.whole(MOMENT)


def test_a_file_that_grows_between_looks_does_not_count(folder: Folder) -> None:
    """Also when it is closed each time: some copiers append in pieces."""
    path = folder.path / "crm.py"
    for _ in range(3):
        with path.open("a") as file:
            file.write("x = 1\n")
        assert [] == folder.whole(MOMENT)
    assert ["crm.py"] == folder.whole(MOMENT)


def test_a_whole_file_that_is_rewritten_does_not_count(folder: Folder) -> None:
    """It is another file from its first new byte on."""
    path = folder.path / "crm.py"
    path.write_text("x = 1\n")
    folder.look()
    assert ["crm.py"] == folder.whole(MOMENT)
    path.write_text("x = 2\n")
    assert [] == folder.whole(MOMENT)
    assert ["crm.py"] == folder.whole(MOMENT)


def test_without_leases_stillness_takes_longer(folder: Folder, no_leases: None) -> None:
    """On a file server nobody can tell who writes."""
    (folder.path / "crm.py").write_text("x = 1\n")
    folder.look()
    assert [] == folder.whole(PATIENT - 0.1)
    assert ["crm.py"] == folder.whole(0.2)


def test_without_leases_an_event_that_it_was_closed_is_enough(
    folder: Folder, no_leases: None
) -> None:
    """The kernel saw the last writer close it: as good as a lease."""
    (folder.path / "crm.py").write_text("x = 1\n")
    folder.look(closed=("crm.py",))
    assert ["crm.py"] == folder.whole(MOMENT)


def test_without_leases_old_files_need_no_patience(
    tmp_path: Path, no_leases: None
) -> None:
    """What was there before the start, and is older, is taken as it is."""
    path = tmp_path / "crm.py"
    path.write_text("x = 1\n")
    folder = Folder(tmp_path)
    folder.arrivals.time = lambda: path.stat().st_ctime + 60
    folder.look()
    assert ["crm.py"] == folder.whole(MOMENT)


def test_an_empty_file_is_given_time(folder: Folder) -> None:
    """Most copies begin with one."""
    (folder.path / "crm.py").touch()
    folder.look()
    assert [] == folder.whole(MOMENT * 2)
    assert ["crm.py"] == folder.whole(PATIENT)


def test_a_zip_without_its_end_waits(folder: Folder) -> None:
    """It is taken as it is after a minute, and refused then by who opens it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.writestr("a.py", "x = 1\n" * 100)
    (folder.path / "crm.sar").write_bytes(buffer.getvalue()[:-5])
    folder.look()
    assert "the end of the zip is missing" == folder.look(5.0).files["crm.sar"].waits
    assert ["crm.sar"] == folder.whole(TRUNCATED)


def _zip(names: list[str], comment: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as made:
        made.comment = comment
        for name in dict.fromkeys(names):
            made.writestr(name, name * 20)
    return buffer.getvalue()


@given(
    names=st.lists(st.text("abc/", min_size=1, max_size=8), max_size=4),
    comment=st.binary(max_size=40).filter(lambda c: b"PK" not in c),
    share=st.floats(0, 1),
)
@settings(max_examples=150, deadline=None)
def test_every_beginning_of_a_zip_is_truncated(
    names: list[str], comment: bytes, share: float
) -> None:
    """And the whole of it is not, with a comment or without files."""
    whole = _zip(names, comment)
    path = Path(os.environ.get("TMPDIR", "/tmp"), f"pointsman-{os.getpid()}.zip")
    try:
        path.write_bytes(whole)
        assert not truncated(path)
        part = whole[: 2 + int(share * (len(whole) - 3))]
        path.write_bytes(part)
        assert truncated(path)
    finally:
        path.unlink()


def test_a_zip64_is_known_to_be_whole(tmp_path: Path) -> None:
    """More than 65,535 files need another end record; and it may be cut, too."""
    path = tmp_path / "large.zip"
    with zipfile.ZipFile(path, "w") as made:
        for number in range(65_600):
            made.writestr(zipfile.ZipInfo(f"{number}"), b"")
    whole = path.read_bytes()
    assert not truncated(path)
    path.write_bytes(whole[:-10])
    assert truncated(path)


def test_what_is_no_zip_at_all_does_not_wait(folder: Folder) -> None:
    """Waiting would not help; who opens it tells that it is none."""
    (folder.path / "crm.sar").write_text("not a zip")
    folder.look()
    assert ["crm.sar"] == folder.whole(MOMENT)


@pytest.mark.parametrize(
    "name",
    [
        ".crm.py",
        ".crm.py.swp",
        "crm.py~",
        "crm.py.part",
        "crm.sar.filepart",
        "crm.sar.crdownload",
        "crm.py.tmp",
        "crm.py.TMP",
        "#crm.py#",
        "4913",
        "crm.py.bak",
        "crm.cpython-311.pyc",
        ".pointsman-probe-1",
        "..data",
    ],
)
def test_drafts_and_backups_are_not_seen(folder: Folder, name: str) -> None:
    """Neither as files nor as strangers."""
    (folder.path / name).write_text("x = 1\n")
    assert unfinished(name)
    look = folder.look(60.0)
    assert ({}, {}) == (look.files, look.strangers)


def test_other_visible_things_are_strangers(folder: Folder) -> None:
    """Each with the reason why it is not taken; the folders we know are none."""
    (folder.path / "README.txt").write_text("")
    (folder.path / "a-folder").mkdir()
    (folder.path / "failed").mkdir()
    (folder.path / "lost+found").mkdir()
    (folder.path / "lost.py").symlink_to("nowhere")
    os.mkfifo(folder.path / "pipe.py")
    kinds = f"only {', '.join(KINDS[:-1])} and {KINDS[-1]} are taken"
    assert {
        "README.txt": kinds,
        "a-folder": "it is a folder; pack it, or move it away",
        "lost.py": "it is a link that leads nowhere",
        "pipe.py": "it is no file",
    } == folder.look(60.0).strangers


def test_a_file_that_vanishes_between_two_calls_is_no_error(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is listed, and gone when it is looked at, or when it is opened."""
    (folder.path / "crm.py").write_text("x = 1\n")
    folder.look()
    monkeypatch.setattr(arrivals, "open_for_writing", _vanished)
    assert "it vanished" == folder.look(1.0).files["crm.py"].waits
    (folder.path / "crm.py").unlink()
    look = folder.look(1.0)
    assert ({}, True) == (look.files, look.moving)


def _vanished(path: Path) -> bool:
    raise FileNotFoundError


def test_a_file_that_may_not_be_read_says_so(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits: who put it there may not be done with its mode."""

    def forbidden(path: Path) -> bool:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(arrivals, "open_for_writing", forbidden)
    (folder.path / "crm.py").write_text("x = 1\n")
    folder.look()
    waits = folder.look(1.0).files["crm.py"].waits
    assert "it cannot be read: Permission denied" == waits


def test_who_opens_a_file_for_writing_meanwhile_ends_nobody(tmp_path: Path) -> None:
    """The kernel tells the holder of a lease by a signal that somebody wants to write.

    Broken on purpose: without F_SETSIG that signal is SIGIO, and ends this process;
    the child then returned -29.
    """
    path = tmp_path / "crm.py"
    path.write_text("x = 1\n")
    code = """
import sys
from pathlib import Path
from pointsman.sources.arrivals import open_for_writing
path, seen = Path(sys.argv[1]), set()
print("ready", flush=True)
while len(seen) < 2:
    seen.add(open_for_writing(path))
for _ in range(20000):
    open_for_writing(path)
"""
    paths = os.pathsep.join(p for p in sys.path if p)
    child = subprocess.Popen(
        [sys.executable, "-c", code, str(path)],
        env={**os.environ, "PYTHONPATH": paths},
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    with child.stdout:
        assert b"ready\n" == child.stdout.readline()
        while child.poll() is None:
            with path.open("a"):
                pass
    assert 0 == child.returncode


def test_links_are_followed(folder: Folder) -> None:
    """The link of a ConfigMap leads to a file elsewhere; who writes there is seen."""
    elsewhere = folder.path / ".elsewhere"
    elsewhere.write_text("x = 1\n")
    (folder.path / "crm.py").symlink_to(elsewhere)
    folder.look()
    seen = folder.look(MOMENT).files["crm.py"]
    assert ("", True) == (seen.waits, seen.link)
    with elsewhere.open("a"):
        assert open_for_writing(folder.path / "crm.py")
