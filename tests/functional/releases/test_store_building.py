"""A tree is there whole, or not at all, and nobody writes to it any more."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from functional.releases.sealed import FILES, REQUIRES, build, put, python, running_from
from pointsman import durable
from pointsman.errors import ReleaseError
from pointsman.releases import contents
from pointsman.releases.manifest import Python
from pointsman.releases.store import Store
from pointsman.releases.tree import Building

if TYPE_CHECKING:
    from collections.abc import Iterator

PYC = f"lib/shop/__pycache__/prices.{sys.implementation.cache_tag}.pyc"


@pytest.fixture(name="root")
def _root(tmp_path: Path) -> Path:
    return tmp_path / "site"


@pytest.fixture(name="building")
def _building(root: Path) -> Iterator[Building]:
    with Building(root, "mysite", "1.0") as building:
        put(building, FILES)
        yield building


def visible(root: Path) -> list[str]:
    """Return what is in the folder of releases, hidden or not."""
    return sorted(path.name for path in (root / "releases").iterdir())


def modes(tree: Path) -> dict[str, int]:
    """Return the modes of all that is in a tree."""
    found = {path: stat.S_IMODE(status.st_mode) for path, status in contents.walk(tree)}
    return {"": stat.S_IMODE(tree.stat().st_mode), **found}


def test_a_sealed_tree(root: Path) -> None:
    """It has its name, what it was given, a manifest, and no mode that lets write."""
    release = build(root, "1.0")
    store = Store(root)
    tree = store.root.tree(release)
    manifest = store.manifest(release)
    found = modes(tree)

    assert ["mysite-1.0"] == visible(root)
    assert () == store.verify(release)
    assert (
        FILES.items()
        <= {
            path: (tree / path).read_text() for path in manifest.files if path in FILES
        }.items()
    )
    assert set() == {path for path, mode in found.items() if mode & 0o222}
    assert (0o555, 0o444, 0o555, 0o555) == (
        found["bin/paster"],
        found["etc/deploy.ini"],
        found["lib"],
        found[""],
    )
    assert (REQUIRES, Python.running()) == (dict(manifest.requires), manifest.python)


def test_a_tree_is_imported_without_being_written_to(root: Path) -> None:
    """Root may write anywhere; bytecode is there already, and names the real path.

    Unchecked: a copy whose times differ is not compiled again.
    """
    release = build(root, "1.0")
    tree = Store(root).root.tree(release)
    shutil.copytree(tree, root / "copy")
    os.utime(root / "copy/lib/shop/prices.py", (1, 1))
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import shop.prices as p; "
        "print(p.__cached__, (lambda: 0).__code__.co_filename, p.__file__)"
    )
    for place in (tree, root / "copy"):
        told = subprocess.check_output(
            [sys.executable, "-c", code, str(place / "lib")], text=True
        )
        assert [str(place / PYC), "<string>", str(place / "lib/shop/prices.py")] == (
            told.split()
        )
    copied = Store(root).manifest(release)

    assert () == Store(root).verify(release)
    assert () == contents.differences(copied, root / "copy")


def test_a_traceback_names_the_tree(root: Path) -> None:
    """Not the folder that it was built in, nor a path that is none."""
    release = build(root, "1.0", prices="def fail():\n    raise OSError\n")
    module = Store(root).root.tree(release) / "lib/shop/prices.py"
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import shop.prices as p; p.fail()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(module.parents[1])],
        capture_output=True,
        text=True,
        check=False,
    )

    assert f'File "{module}", line 2, in fail' in done.stderr


def test_modules_that_do_not_compile(root: Path) -> None:
    """A template with the ending of a module goes without bytecode."""
    release = build(root, "1.0", prices="{{ name }} = 1\n", page='x = "\\d"')
    files = Store(root).manifest(release).files

    assert (True, False) == ("lib/shop/prices.py" in files, PYC in files)


def test_the_same_once_more(root: Path) -> None:
    """Built again with the same content, nothing changes: it is the same folder."""
    release = build(root, "1.0")
    tree = Store(root).root.tree(release)
    before = tree.stat().st_ino
    with Building(root, "mysite", "1.0") as building:
        put(building, FILES)
        building.compile()
        building.seal(requires=REQUIRES)

    assert (True, before) == (building.unchanged, tree.stat().st_ino)
    assert ["built"] == [event.what for event in Store(root).history()]
    assert ["mysite-1.0"] == visible(root)


def test_other_content(root: Path) -> None:
    """The same version with other content is refused, and nothing changes."""
    release = build(root, "1.0")
    with pytest.raises(ReleaseError) as refused:
        build(root, "1.0", prices="BREAD = 4\n")

    assert (
        "mysite-1.0 is there already, with other content (lib/shop/prices.py)"
        in str(refused.value)
    )
    assert "another version" in str(refused.value)
    assert ((), ["mysite-1.0"]) == (Store(root).verify(release), visible(root))


@pytest.mark.parametrize(
    ("requires", "python", "told"),
    [
        ({"shop": "2.0"}, None, "(shop)"),
        (REQUIRES, Python("3.11.0", "/usr/bin/python3.11"), "(python)"),
    ],
)
def test_other_requirements(
    building: Building, requires: dict[str, str], python: Python | None, told: str
) -> None:
    """The same files for another Python, or with other distributions, differ."""
    building.compile()
    build(building.path.parent.parent, "2.0")
    building.release = Store(building.path.parent.parent).find("2.0")
    with pytest.raises(ReleaseError) as refused:
        building.seal(requires=requires, python=python)

    assert told in str(refused.value)


def test_what_is_there_is_no_release(root: Path, building: Building) -> None:
    """A folder without a manifest in the place of the release is somebody else's."""
    stranger = root / "releases/mysite-1.0"
    stranger.mkdir()
    with pytest.raises(
        ReleaseError, match=r"has no MANIFEST\.json.* move .* away first"
    ):
        building.seal(requires=REQUIRES)

    assert stranger.is_dir()


def test_a_damaged_one_is_replaced(root: Path) -> None:
    """Built again, a release of which a byte has changed is whole again, and logged."""
    release = build(root, "1.0")
    store = Store(root)
    module = store.root.tree(release) / "lib/shop/prices.py"
    module.chmod(0o644)
    module.write_text("BREAD = 9\n")
    build(root, "1.0")

    assert ((), "BREAD = 3\n") == (store.verify(release), module.read_text())
    assert ["built", "pruned", "built"] == [e.what for e in store.history()]
    assert [] == list(store.root.trash.iterdir())


def test_a_damaged_one_that_runs(root: Path) -> None:
    """... is left alone: what runs from it may still import something."""
    release = build(root, "1.0")
    module = Store(root).root.tree(release) / "lib/shop/prices.py"
    module.chmod(0o644)
    module.write_text("BREAD = 9\n")
    with running_from(module.parents[2]):
        with pytest.raises(ReleaseError, match=r"damaged .*, and a process runs from"):
            build(root, "1.0")

    assert "BREAD = 9\n" == module.read_text()


def test_without_a_seal_nothing_is_left(root: Path) -> None:
    """Neither when the block ends, nor when it fails."""
    with Building(root, "mysite", "1.0") as building:
        put(building, FILES)
    with pytest.raises(KeyError), Building(root, "mysite", "1.0") as building:
        put(building, {**FILES, "lib/x": FILES["no such file"]})

    assert ([], ()) == (visible(root), Store(root).history())


def test_nobody_sees_what_is_being_built(root: Path, building: Building) -> None:
    """It is beside the others, under a name that is no release's."""
    assert root / "releases" == building.path.parent
    assert () == Store(root).releases()


@pytest.mark.parametrize("target", ["/etc/passwd", "../../../etc", "deep/../../up"])
def test_links_out(building: Building, target: str) -> None:
    """A link that leads out of the tree is refused, by its text and by its end.

    ``deep`` is a link itself, so that its parent is not where its text says.
    """
    (building.path / "lib/a/b").mkdir(parents=True)
    (building.path / "lib/a/deep").symlink_to("../../bin")
    (building.path / "lib/a/bad").symlink_to(target)
    with pytest.raises(ReleaseError, match="the link lib/a/bad leads out of the tree"):
        building.seal(requires=REQUIRES)


def test_links_inside(root: Path, building: Building) -> None:
    """A relative link stays one."""
    (building.path / "lib/current.html").symlink_to("shop/page.html")
    (building.path / "lib64").symlink_to("lib")
    release = building.seal(requires=REQUIRES)
    links = {"lib/current.html": "shop/page.html", "lib64": "lib"}

    assert links == dict(Store(root).manifest(release).links)
    assert () == Store(root).verify(release)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
def test_what_is_no_file(
    building: Building, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pipe or a socket cannot be released."""
    place = building.path / "lib/strange"
    if kind == "pipe":
        os.mkfifo(place)
    else:
        with socket.socket(socket.AF_UNIX) as server:
            monkeypatch.chdir(place.parent)  # a socket's path is short
            server.bind(place.name)
    with pytest.raises(ReleaseError, match="lib/strange is a device, a socket or"):
        building.seal(requires=REQUIRES)


@pytest.mark.parametrize(
    "relative", ["../x", "/x", "lib/../x", "MANIFEST.json", "a//b"]
)
def test_paths_out(building: Building, relative: str) -> None:
    """Nothing is put outside of the tree, or in the place of its manifest."""
    with pytest.raises(ReleaseError, match="no file of a tree can be at"):
        building.write(relative, "x")


def test_folders_are_not_put(building: Building, tmp_path: Path) -> None:
    """Only files are; a link to one is as good."""
    (tmp_path / "link").symlink_to(__file__)
    building.link_or_copy(tmp_path / "link", "lib/a.py")
    with pytest.raises(ReleaseError, match="is no file"):
        building.link_or_copy(tmp_path, "lib/b")

    assert Path(__file__).read_bytes() == (building.path / "lib/a.py").read_bytes()


# REUSE


def test_the_same_files_are_linked(root: Path, tmp_path: Path) -> None:
    """What an older release has already takes no disk; its source is never linked.

    Linked to the source, an edit of it would change what serves.
    """
    source = tmp_path / "egg.py"
    source.write_text("EGG = 1\n")
    linked = []
    for version in ("1.0", "1.1"):
        with Building(root, "mysite", version) as building:
            linked.append(building.link_or_copy(source, "lib/egg.py"))
            building.compile()
            building.seal(requires=REQUIRES)
    old, new = (root / f"releases/mysite-{version}/lib" for version in ("1.0", "1.1"))
    names = ["egg.py", f"__pycache__/egg.{sys.implementation.cache_tag}.pyc"]

    assert [False, True] == linked
    assert [True, True] == [(old / name).samefile(new / name) for name in names]
    assert 1 == source.stat().st_nlink


def test_what_was_damaged_is_not_linked(root: Path, tmp_path: Path) -> None:
    """A byte that has changed in an older release does not come into a new one."""
    source = tmp_path / "egg.py"
    source.write_text("EGG = 1\n")
    with Building(root, "mysite", "1.0") as building:
        building.link_or_copy(source, "lib/egg.py")
        building.seal(requires=REQUIRES)
    bad = root / "releases/mysite-1.0/lib/egg.py"
    bad.chmod(0o644)
    bad.write_text("EGG = 2\n")
    bad.chmod(0o444)
    with Building(root, "mysite", "1.1") as building:
        linked = building.link_or_copy(source, "lib/egg.py")
        release = building.seal(requires=REQUIRES)

    assert (False, ()) == (linked, Store(root).verify(release))


def test_another_mode_is_not_linked(root: Path, tmp_path: Path) -> None:
    """A mode belongs to all names of a file; the same bytes as a script are a copy."""
    source = tmp_path / "tool"
    source.write_text("#!/bin/sh\n")
    with Building(root, "mysite", "1.0") as building:
        building.link_or_copy(source, "lib/tool")
        building.seal(requires=REQUIRES)
    with Building(root, "mysite", "1.1") as building:
        linked = building.link_or_copy(source, "bin/tool")
        release = building.seal(requires=REQUIRES)

    assert (False, ()) == (linked, Store(root).verify(release))
    assert 0o444 == modes(root / "releases/mysite-1.0")["lib/tool"]


def test_a_linked_file_is_replaced_and_not_written_to(
    root: Path, tmp_path: Path
) -> None:
    """What is put where a linked file was leaves the older release as it is."""
    source = tmp_path / "egg.py"
    source.write_text("EGG = 1\n")
    with Building(root, "mysite", "1.0") as building:
        building.link_or_copy(source, "lib/egg.py")
        old = building.seal(requires=REQUIRES)
    with Building(root, "mysite", "1.1") as building:
        building.link_or_copy(source, "lib/egg.py")
        building.write("lib/egg.py", "EGG = 2\n")
        new = building.seal(requires=REQUIRES)
    store = Store(root)

    assert ((), ()) == (store.verify(old), store.verify(new))


def test_links_to_files_of_others_are_broken(
    root: Path, tmp_path: Path, building: Building
) -> None:
    """An installer may link from its cache; what is sealed is no name of that."""
    cached = tmp_path / "cached"
    cached.write_text("EGG = 1\n")
    os.link(cached, building.path / "lib/egg.py")
    release = building.seal(requires=REQUIRES)
    cached.write_text("EGG = 2\n")

    assert () == Store(root).verify(release)
    assert "EGG = 1\n" == (root / "releases/mysite-1.0/lib/egg.py").read_text()
    assert 0o644 == stat.S_IMODE(cached.stat().st_mode)


def test_what_changes_after_it_was_put(root: Path, building: Building) -> None:
    """The manifest tells what is there when the tree is sealed."""
    place = building.path / "lib/shop/prices.py"
    building.link_or_copy(Path(__file__), "lib/shop/prices.py")
    place.write_text("BREAD = 5\n")
    release = building.seal(requires=REQUIRES)

    assert () == Store(root).verify(release)


# THE DISK


def test_everything_is_on_the_disk_before_the_name(
    root: Path, building: Building, monkeypatch: pytest.MonkeyPatch
) -> None:
    """First the content and the manifest, then the name, then the folder's entry.

    In another order, a power cut leaves a release of empty files.
    """
    done = []
    everything, folder = durable.everything, durable.folder

    def synced(path: Path) -> None:
        done.append(("all", (path / "MANIFEST.json").is_file(), visible(root)[0][0]))
        everything(path)

    def entered(path: Path) -> None:
        done.append((path.name, path == root / "releases", visible(root)[-1]))
        folder(path)

    monkeypatch.setattr(durable, "everything", synced)
    monkeypatch.setattr(durable, "folder", entered)
    building.seal(requires=REQUIRES)

    assert [("all", True, "."), ("releases", True, "mysite-1.0")] == done[:2]


def test_the_disk_is_asked(tmp_path: Path) -> None:
    """The kernel is, and a path that it cannot take is an error."""
    durable.everything(tmp_path)
    with pytest.raises(FileNotFoundError):
        durable.everything(tmp_path / "gone")


def test_a_record_that_cannot_be_written(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The release is built all the same, and the record catches up with it."""
    root.mkdir()
    (root / "releases.log").mkdir()
    release = build(root, "1.0")
    (root / "releases.log").rmdir()
    Store(root).recover()

    assert "mysite-1.0 is built; the record cannot be written" in caplog.text
    assert [("built", "mysite-1.0")] == [
        (event.what, event.release) for event in Store(root).history()
    ]
    assert () == Store(root).verify(release)


# OTHERS


BUILD = """
import sys
from pathlib import Path
from pointsman.releases.tree import Building
with Building(Path(sys.argv[1]), "mysite", sys.argv[2]) as building:
    building.write("lib/a.py", "A = 1")
    print("building", flush=True)
    sys.stdin.read()
"""


def test_two_builds_of_one_version(root: Path) -> None:
    """The second is refused, and hears who builds; another version can be built."""
    with python(BUILD, root, "1.0") as builder:
        with pytest.raises(ReleaseError) as refused:
            build(root, "1.0")
        other = build(root, "1.1")

    assert f"mysite-1.0 is being built already by pid {builder.pid}" in str(
        refused.value
    )
    assert () == Store(root).verify(other)


def test_a_killed_build(root: Path) -> None:
    """What it leaves, the next build removes, of whatever version."""
    with python(BUILD, root, "1.0") as builder:
        builder.kill()
        builder.wait()
    left = visible(root)
    build(root, "1.1")

    assert (1, True) == (len(left), left[0].endswith(".part"))
    assert ["mysite-1.1"] == visible(root)


@pytest.mark.parametrize("prices", ["BREAD = 3\n", "BREAD = 4\n"])
def test_another_one_was_faster(
    root: Path, building: Building, monkeypatch: pytest.MonkeyPatch, prices: str
) -> None:
    """Of two that seal the same version at once, one finds it there, or is refused.

    The name appears between the look and the rename: on another machine that shares
    the folder, where no lock of this one is seen.
    """
    everything = durable.everything

    def overtaken(path: Path) -> None:
        monkeypatch.setattr(durable, "everything", everything)
        other = build(root / "elsewhere", "1.0", prices=prices)
        tree = Store(root / "elsewhere").root.tree(other)
        shutil.copytree(tree, root / "releases/mysite-1.0")

    monkeypatch.setattr(durable, "everything", overtaken)
    building.compile()
    if prices == FILES["lib/shop/prices.py"]:
        building.seal(requires=REQUIRES)
    else:
        with pytest.raises(ReleaseError, match="there already, with other content"):
            building.seal(requires=REQUIRES)
    whole = Store(root).verify(building.release)

    assert (prices.endswith("3\n"), ()) == (building.unchanged, whole)
    assert "mysite-1.0" in visible(root)


def test_a_root_of_somebody_else(root: Path) -> None:
    """Nobody builds, commits or prunes there, root neither; it says whose it is."""
    if os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    release = build(root, "1.0")
    nobody = pwd.getpwnam("nobody")
    os.chown(root, nobody.pw_uid, -1)
    store = Store(root)
    for change in (
        lambda: build(root, "2.0"),
        lambda: store.commit(release),
        lambda: store.prune(0),
        lambda: store.quarantine(release, "bad"),
        store.prepare,
    ):
        with pytest.raises(ReleaseError, match="belongs to nobody, and this is root"):
            change()

    assert [release] == [one.release for one in store.releases()]


def test_a_root_that_anybody_may_write_to(root: Path) -> None:
    """What serves tomorrow would be anybody's choice."""
    build(root, "1.0")
    (root / "releases").chmod(0o777)
    with pytest.raises(ReleaseError, match=r"chmod o-w .*/releases"):
        build(root, "2.0")


def test_a_root_that_is_a_file(tmp_path: Path) -> None:
    """It is told in one sentence."""
    (tmp_path / "site").write_text("")
    with pytest.raises(ReleaseError, match=str(tmp_path / "site")):
        build(tmp_path / "site", "1.0")
