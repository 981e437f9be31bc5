"""Publishing: what is refused, what lies in the shared directory, also after a kill.

Broken on purpose, and seen to fail: the file renamed before its checksum is written
(a killed publisher leaves a file that nobody can verify); the archive's files not
compared with the tree's (an old sdist goes out under a new tag).
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from functional.releases.project import Project, children, python
from functional.releases.sources import clone
from functional.releases.sources import publish as publish_sdist
from pointsman import faults
from pointsman.errors import ReleaseError
from pointsman.releases import parcel
from pointsman.releases.checkout import Checkout
from pointsman.releases.publish import publish
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

SDIST = "mysite-1.2.0.tar.gz"


@pytest.fixture(name="project")
def _project(tmp_path: Path) -> Project:
    """Give a project that may be released."""
    folder = tmp_path / "mysite"
    folder.mkdir()
    project = Project.small(folder)
    project.passes()
    return project


@pytest.fixture(name="share")
def _share(tmp_path: Path) -> Path:
    """Give the directory that all servers see."""
    (tmp_path / "share").mkdir()
    return tmp_path / "share"


def names(share: Path) -> list[str]:
    """Return what lies in the directory."""
    return sorted(path.name for path in share.iterdir())


def log(share: Path) -> list[dict[str, object]]:
    """Return what is in its log."""
    lines = (share / "publish.log").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def refusal(project: Project, share: Path, *files: Path) -> str:
    """Return why files are not published; nothing of them is in the directory."""
    before = names(share)
    with pytest.raises(ReleaseError) as caught:
        publish(files, share, project=project.folder)
    assert sorted({*before, "publish.log"}) == names(share)
    return str(caught.value)


def test_what_is_published(project: Project, share: Path) -> None:
    """The file and its checksum can be read by all; sha256sum agrees."""
    sdist = project.pack()
    old = os.umask(0o077)
    try:
        published = publish([sdist], share, project=project.folder)
    finally:
        os.umask(old)

    (file,) = published.files
    assert (share / SDIST, True, ()) == (file.path, file.fresh, published.overruled)
    assert sdist.read_bytes() == file.path.read_bytes()
    assert [SDIST, f"{SDIST}.sha256", "publish.log"] == names(share)
    modes = [(share / name).stat().st_mode & 0o777 for name in names(share)[:2]]
    assert [0o644, 0o644] == modes
    check = ["sha256sum", "--check", "--strict", f"{SDIST}.sha256"]
    told = subprocess.run(check, cwd=share, capture_output=True, text=True, check=True)
    assert f"{SDIST}: OK\n" == told.stdout
    (line,) = log(share)
    assert ("published", SDIST, file.sha256) == (
        line["what"],
        line["file"],
        line["sha256"],
    )


def test_publishing_again_changes_nothing(project: Project, share: Path) -> None:
    """The same files packed at another time are the same release."""
    publish([project.pack()], share, project=project.folder)
    first = (share / SDIST).read_bytes()
    (project.folder / "dist" / SDIST).unlink()
    again = project.pack()
    with again.open("ab") as file:  # other bytes around the same content
        file.write(b"\0" * 512)

    published = publish([again], share, project=project.folder)

    assert [False] == [file.fresh for file in published.files]
    assert first == (share / SDIST).read_bytes()
    assert 1 == len(log(share))


def test_a_version_stays_what_it_is(project: Project, share: Path) -> None:
    """A version that is there with other content is not overwritten."""
    publish([project.pack()], share, project=project.folder)
    project.write("hello.py", "GREETING = 'good morning'\n")
    project.commit()
    project.git("tag", "--force", "v1.2.0")
    project.passes()

    told = refusal(project, share, project.pack())

    assert "is there with other content" in told
    assert "release another version" in told
    assert "tree has" not in told


def test_dirty_tree_is_refused(project: Project, share: Path) -> None:
    """What is not committed is named, a new file too."""
    project.write("hello.py", "GREETING = 'changed'\n")
    project.write("new.py", "")
    project.passes()

    told = refusal(project, share, project.pack())

    assert "not committed: M hello.py, ?? new.py" in told


@pytest.mark.parametrize("tag", ["v1.2.0", "1.2.0"])
def test_either_tag_will_do(project: Project, share: Path, tag: str) -> None:
    """The commit is tagged with the version, with or without a v."""
    project.git("tag", "--delete", "v1.2.0")
    project.git("tag", tag)

    assert publish([project.pack()], share, project=project.folder).files


@pytest.mark.parametrize("tag", ["v1.2", "release-1.2.0", "v1.2.0-x"])
def test_version_without_its_tag_is_refused(
    project: Project, share: Path, tag: str
) -> None:
    """Another tag is none, and so is the right one on another commit."""
    project.write("README", "new\n")
    project.commit()  # v1.2.0 stays behind
    project.git("tag", tag)
    project.passes()

    told = refusal(project, share, project.pack())

    assert "has no tag v1.2.0 or 1.2.0: git tag v1.2.0" in told
    assert "not committed" not in told


def test_untested_content_is_refused(project: Project, share: Path) -> None:
    """Without a record, and with that of other content, it is not published."""
    project.write("hello.py", "GREETING = 'changed'\n")
    project.commit()
    project.git("tag", "--force", "v1.2.0")

    stale = refusal(project, share, project.pack())
    (project.folder / ".tested.json").unlink()
    none = refusal(project, share, project.pack())

    assert "the tests passed on another content" in stale
    assert "no whole run of the tests has passed here" in none


def test_stale_archive_is_refused(project: Project, share: Path) -> None:
    """An sdist that was packed from another tree than the tested one is refused."""
    old = project.pack(**{"hello.py": "GREETING = 'old'\n", "more.py": "import os\n"})

    told = refusal(project, share, old)

    assert "files that are not those of the tree" in told
    assert "hello.py, more.py" in told


def test_one_bad_file_stops_all(project: Project, share: Path) -> None:
    """Either all files are published, or none is copied."""
    good = project.pack()
    bad = project.pack(version="1.3.0")

    assert "has no tag v1.3.0" in refusal(project, share, good, bad)


def test_wheel_is_published(project: Project, share: Path) -> None:
    """A wheel is compared by its modules; its metadata are not the tree's."""
    wheel = project.folder / "dist" / "mysite-1.2.0-py3-none-any.whl"
    wheel.parent.mkdir()
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.write(project.folder / "hello.py", "hello.py")
        info = "mysite-1.2.0.dist-info"
        archive.writestr(f"{info}/METADATA", "Name: mysite\nVersion: 1.2.0\n")
        archive.writestr(f"{info}/RECORD", "")

    published = publish([wheel], share, project=project.folder)

    assert [share / wheel.name] == [file.path for file in published.files]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("mysite-1.2.0.rpm", b"", "neither an sdist (.tar.gz) nor a wheel"),
        ("mysite-1.2.0.tar.gz", b"no archive", "cannot be read"),
        ("mysite-1.2.0.whl", b"no archive", "cannot be read"),
    ],
)
def test_other_files_are_refused(
    project: Project, share: Path, name: str, content: bytes, expected: str
) -> None:
    """What is no archive, or a damaged one, is named."""
    path = project.write(name, "")
    path.write_bytes(content)

    with pytest.raises(ReleaseError, match=f"{name}.*") as caught:
        publish([path], share, project=project.folder)

    assert expected in str(caught.value)


def test_no_git_is_a_reason(tmp_path: Path, project: Project, share: Path) -> None:
    """Where git knows nothing, nobody knows what is released."""
    (tmp_path / "elsewhere").mkdir()
    sdist = project.pack()

    with pytest.raises(ReleaseError, match="git knows nothing of"):
        publish([sdist], share, project=tmp_path / "elsewhere")


def test_force_is_logged(project: Project, share: Path) -> None:
    """A reason overrules every refusal; the log has it, with what it overruled."""
    publish([project.pack()], share, project=project.folder)
    first = (share / SDIST).read_bytes()
    project.write("hello.py", "GREETING = 'urgent'\n")

    published = publish(
        [project.pack()], share, force="the site is down", project=project.folder
    )

    _, line = log(share)
    assert first != (share / SDIST).read_bytes()
    assert ["replaced", "the site is down"] == [line["what"], line["force"]]
    assert list(published.overruled) == line["overruled"]
    assert 3 == len(published.overruled)
    assert f"{published.files[0].sha256}  {SDIST}\n" == (
        (share / f"{SDIST}.sha256").read_text()
    )


def test_force_without_a_reason_is_none(project: Project, share: Path) -> None:
    """Blanks are no reason."""
    project.write("hello.py", "GREETING = 'urgent'\n")

    with pytest.raises(ReleaseError, match="not committed"):
        publish([project.pack()], share, force="  ", project=project.folder)


def test_directory_has_to_be_there(project: Project, share: Path) -> None:
    """A share that is not mounted is not made on the disk below it."""
    with pytest.raises(ReleaseError, match=r"there is no directory .*; mount it"):
        publish([project.pack()], share / "not", project=project.folder)


def test_full_disk_leaves_nothing(
    project: Project, share: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the copy fails, no part of it stays, and the old version does."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfileobj", full)
    with pytest.raises(ReleaseError, match="No space left on device"):
        publish([project.pack()], share, project=project.folder)

    assert ["publish.log"] == names(share)


PUBLISHER = """
import sys
from pathlib import Path
from pointsman.releases import parcel
from pointsman.releases.checkout import Checkout
from pointsman.releases.publish import publish
publish([Path(sys.argv[1])], Path(sys.argv[2]))
"""


@pytest.mark.parametrize("point", faults.PUBLISH_POINTS)
def test_killed_publisher(project: Project, share: Path, point: str) -> None:
    """Killed anywhere, it leaves no file without its checksum; the next one goes on."""
    sdist = project.pack()
    words = ("-c", PUBLISHER, str(sdist), str(share))

    killed = python(project.folder, *words, POINTSMAN_KILL_AT=point)
    after = [name for name in names(share) if name.endswith(".gz")]
    done = python(project.folder, *words)

    assert (-signal.SIGKILL, []) == (killed.returncode, after)
    assert (0, "") == (done.returncode, done.stderr)
    assert [SDIST, f"{SDIST}.sha256", "publish.log"] == names(share)


def test_missing_checksum_is_made(project: Project, share: Path) -> None:
    """A file that lost its checksum gets one from the next publisher."""
    publish([project.pack()], share, project=project.folder)
    (share / f"{SDIST}.sha256").write_text("0  other\n")

    (file,) = publish([project.pack()], share, project=project.folder).files

    assert f"{file.sha256}  {SDIST}\n" == (share / f"{SDIST}.sha256").read_text()


@pytest.fixture(name="occupied")
def _occupied(share: Path) -> Iterator[int]:
    """Hold the lock of the directory, as somebody who publishes there does."""
    log = os.open(share / "publish.log", os.O_RDWR | os.O_CREAT)
    fcntl.flock(log, fcntl.LOCK_EX)
    yield log
    os.close(log)


def test_one_publishes_at_a_time(project: Project, share: Path, occupied: int) -> None:
    """Who comes second waits, and then sees what the first one has published."""
    sdist = project.pack()
    publisher = subprocess.Popen(
        [sys.executable, "-c", PUBLISHER, str(sdist), str(share)],
        cwd=project.folder,
        env=children(),
    )
    waits = Path(f"/proc/{publisher.pid}/wchan")
    wait_for(lambda: "lock" in waits.read_text(), "it waits for the lock")
    before = names(share)
    fcntl.flock(occupied, fcntl.LOCK_UN)

    assert (0, ["publish.log"]) == (publisher.wait(30), before)
    assert (share / SDIST).exists()


# THE COMMANDS OF setup.py


def test_own_sdist_is_a_whole_release(tmp_path: Path, share: Path) -> None:
    """Our own setup.py publishes, before anything is installed; nothing is left out."""
    project = clone(tmp_path / "pointsman")

    sdist = publish_sdist(project, share)

    ours = {name: e.sha256 for name, e in parcel.read(sdist).own.items()}
    content = Checkout(project.folder).content()
    assert {name: entry.sha256 for name, entry in content.items()} == ours


def test_sdist_publish(project: Project, share: Path) -> None:
    """One command builds the sdist of a tested tree, and publishes it."""
    words = ("-W", "error", "setup.py", "sdist", "publish", "--to", str(share))

    done = python(project.folder, *words)

    assert (0, "") == (done.returncode, done.stderr)
    assert [SDIST, f"{SDIST}.sha256", "publish.log"] == names(share)
    assert f"published: {share / SDIST} (sha256 " in done.stdout


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("sdist", "publish"), "publish where?"),
        (("publish", "--to", "."), "nothing is built to publish"),
        (("sdist", "publish", "--to", "not-there"), "there is no directory not-there"),
    ],
)
def test_publish_says_what_is_missing(
    project: Project, words: tuple[str, ...], expected: str
) -> None:
    """A wrong call is one sentence, without a traceback."""
    done = python(project.folder, "setup.py", "-q", *words)

    assert 1 == done.returncode
    assert expected in done.stderr
    assert "Traceback" not in done.stderr


def test_test_command_runs_the_tests(project: Project) -> None:
    """``setup.py test`` is bin/test, with its words; a red run is a failure."""
    project.write("bin/test", '#!/bin/sh\necho "ran $*"\nexit 3\n').chmod(0o755)

    done = python(project.folder, "setup.py", "test", "-a", "-k 'a b'")

    assert (1, True) == (done.returncode, "ran -k a b\n" in done.stdout)
    assert "has failed (exit code 3)" in done.stderr


def test_test_command_prefers_bootstrap(project: Project) -> None:
    """With a bootstrap.py, it builds first."""
    project.write("bootstrap.py", "import sys\nprint('bootstrap', *sys.argv[1:])\n")

    done = python(project.folder, "setup.py", "test", "--arguments=-x")

    assert (0, True) == (done.returncode, "bootstrap test -x\n" in done.stdout)


def test_test_command_without_tests(project: Project) -> None:
    """A project that has neither says so."""
    done = python(project.folder, "setup.py", "test")

    assert "neither a bootstrap.py nor a bin/test" in done.stderr
