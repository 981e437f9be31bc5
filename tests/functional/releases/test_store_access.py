"""Whether the user that serves can read a tree, and which folder is in the way."""

from __future__ import annotations

import os
import pwd
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from functional.releases.sealed import FILES, REQUIRES, build, put
from pointsman.errors import ReleaseError
from pointsman.releases.manifest import Python
from pointsman.releases.store import Store
from pointsman.releases.tree import Building

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.releases.layout import Release

NOBODY = pwd.getpwnam("nobody")


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    """Give a folder that others can reach, which pytest's own are not."""
    folder = Path(tempfile.mkdtemp(prefix="pointsman-"))
    folder.chmod(0o755)
    interpreter = folder / "opt/python/bin/python3"
    interpreter.parent.mkdir(parents=True)
    shutil.copy("/bin/sh", interpreter)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(name="release")
def _release(folder: Path) -> Release:
    with Building(folder / "site", "mysite", "1.0") as building:
        put(building, FILES)
        python = Python("3.11.2", str(folder / "opt/python/bin/python3"))
        return building.seal(requires=REQUIRES, python=python)


def told(folder: Path, release: Release) -> str:
    """Return what keeps nobody from serving the release."""
    store = Store(folder / "site")
    return store.readable_by(release, NOBODY.pw_uid, NOBODY.pw_gid)


def test_a_tree_that_others_can_read(folder: Path, release: Release) -> None:
    """A sealed tree is such a one, whatever the umask of its builder was."""
    umask = os.umask(0o077)
    try:
        with Building(folder / "site", "mysite", "2.0") as building:
            put(building, FILES)
            python = Store(folder / "site").manifest(release).python
            strict = building.seal(requires=REQUIRES, python=python)
    finally:
        os.umask(umask)

    assert ("", "") == (told(folder, release), told(folder, strict))


@pytest.mark.parametrize(
    ("place", "mode", "sentence"),
    [
        ("", 0o700, "may not enter the folder {} (mode 700, of root); chmod o+x {}"),
        ("site", 0o750, "may not enter the folder {} (mode 750, of root); chmod o+x"),
        ("site/releases", 0o700, "may not enter the folder {} (mode 700"),
        ("site/releases/mysite-1.0", 0o700, "may not enter the folder {} (mode 700"),
        ("site/releases/mysite-1.0/lib/shop", 0o500, "may not enter the folder {}"),
        ("site/releases/mysite-1.0/lib/shop", 0o511, "may not enter the folder {}"),
        ("site/releases/mysite-1.0/lib/shop/prices.py", 0o400, "may not read {} (mode"),
        ("site/releases/mysite-1.0/bin/paster", 0o444, "may not execute {} (mode 444"),
        ("opt", 0o700, "may not enter the folder {} (mode 700, of root)"),
        ("opt/python/bin/python3", 0o700, "may not execute {} (mode 700, of root)"),
    ],
)
def test_what_is_in_the_way(
    folder: Path, release: Release, place: str, mode: int, sentence: str
) -> None:
    """The outermost folder that the user cannot enter is named, with what to do."""
    path = folder / place
    path.chmod(mode)
    expected = "nobody " + sentence.replace("{}", str(path))

    assert expected == told(folder, release)[: len(expected)]


def test_an_interpreter_that_is_gone(folder: Path, release: Release) -> None:
    """It may have been removed since the release was built."""
    path = folder / "opt/python/bin/python3"
    path.unlink()

    assert f"{path}: No such file or directory" == told(folder, release)


def test_the_groups_of_a_user_count(
    folder: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of a group is open to its members."""
    (folder / "site").chmod(0o750)
    os.chown(folder / "site", -1, 54321)
    before = told(folder, release)
    monkeypatch.setattr(os, "getgrouplist", lambda name, gid: [gid, 54321])

    assert (True, "") == ("may not enter" in before, told(folder, release))


def test_a_user_without_a_name(folder: Path, release: Release) -> None:
    """A number is enough, as in a container."""
    store = Store(folder / "site")
    free = store.readable_by(release, 54321, 54321)
    (folder / "site").chmod(0o700)

    assert "" == free
    assert store.readable_by(release, 54321, 54321).startswith("54321 may not enter")


def test_this_process_is_the_same_as_before(folder: Path, release: Release) -> None:
    """Only a child becomes another user."""
    told(folder, release)

    assert (0, 0) == (os.geteuid(), os.getegid())


def test_our_own_trees(tmp_path: Path) -> None:
    """For the user that asks, the kernel is asked directly."""
    release = build(tmp_path, "1.0")
    store = Store(tmp_path)

    assert "" == store.readable_by(release, os.geteuid(), os.getegid())


def test_only_root_looks_as_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Modes alone do not tell, so nobody guesses."""
    release = build(tmp_path, "1.0")
    monkeypatch.setattr(os, "geteuid", lambda: NOBODY.pw_uid)
    with pytest.raises(ReleaseError, match="only root can find out what root may read"):
        Store(tmp_path).readable_by(release, 0, 0)


def test_a_child_that_cannot_look(
    folder: Path, release: Release, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That it could not is told, and not taken for an answer."""

    def refuse(groups: list[int]) -> None:
        raise PermissionError(1, "no groups here")

    monkeypatch.setattr(os, "setgroups", refuse)
    with pytest.raises(ReleaseError, match=r"cannot be found out: .*no groups here"):
        told(folder, release)
