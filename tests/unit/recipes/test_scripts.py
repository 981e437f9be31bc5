"""The scripts of a tree, and which of them there are."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pointsman.errors import ConfigError, ReleaseError
from pointsman.recipes.commands import chosen, offered
from pointsman.recipes.scripts import Script
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

KNOWN = {"site": Script("site", "site_module", "main")}


@pytest.fixture(name="tree")
def _tree(tmp_path: Path) -> Path:
    """Give a tree with one module and a script for it."""
    tree = tmp_path / "site-1.0"
    (tree / "bin").mkdir(parents=True)
    (tree / "lib").mkdir()
    (tree / "lib" / "site_module.py").write_text(
        "import os\nimport sys\n\n\nclass Main:\n    @staticmethod\n"
        "    def run():\n        locks = open('/proc/locks').read()\n"
        "        inode = os.stat(sys.argv[1]).st_ino\n"
        "        print(sys.path[0], f':{inode} ' in locks)\n        return 3\n"
    )
    script = tree / "bin" / "site"
    script.write_text(Script("site", "site_module", "Main.run").text(sys.executable))
    script.chmod(0o555)
    (tree / "MANIFEST.json").touch()
    return tree


def run(tree: Path) -> subprocess.CompletedProcess[str]:
    """Run the script through a link from elsewhere, which must not matter."""
    link = tree.parent / "link"
    link.unlink(missing_ok=True)
    link.symlink_to(tree)
    command = [link / "bin" / "site", tree / "MANIFEST.json"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_script_finds_its_modules_by_its_own_real_place(tree: Path) -> None:
    """It imports from lib/ beside it, calls the function, and ends with its answer."""
    done = run(tree)

    assert (3, f"{tree}/lib True\n", "") == (done.returncode, done.stdout, done.stderr)


def test_a_tree_can_be_renamed(tree: Path) -> None:
    """A script names no folder: it works wherever the tree is."""
    moved = tree.rename(tree.with_name("elsewhere"))

    assert f"{moved}/lib True\n" == run(moved).stdout


def test_who_looks_does_not_keep_a_tree_from_being_run(tree: Path) -> None:
    """Whether a tree is in use is asked by locking it; a start waits for the answer."""
    with waiting_to_run(tree) as started:
        pass

    assert (f"{tree}/lib True\n", "") == started.communicate()


def test_a_tree_that_is_being_removed_is_not_run(tree: Path) -> None:
    """Whoever removes a tree holds its lock alone until it has no name any more."""
    with waiting_to_run(tree) as started:
        tree.rename(tree.with_name("garbage"))

    reason = f"{tree} has just been removed; start another release\n"
    assert ("", reason) == started.communicate()
    assert 1 == started.returncode


@contextmanager
def waiting_to_run(tree: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the script of a tree that is locked while the block runs."""
    command = [tree / "bin" / "site", tree / "MANIFEST.json"]
    pipe = subprocess.PIPE
    with (tree / "MANIFEST.json").open() as manifest:
        fcntl.flock(manifest, fcntl.LOCK_EX)
        started = subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True)
        wait_for(lambda: is_waiting(started.pid), "the script to ask for its lock")
        yield started


def is_waiting(pid: int) -> bool:
    """Tell whether a process waits for a lock; see proc_locks(5)."""
    locks = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    return any(" -> FLOCK" in line and f" {pid} " in line for line in locks)


def test_a_tree_that_is_being_built_can_run(tree: Path) -> None:
    """Without a manifest there is nothing to hold."""
    (tree / "MANIFEST.json").rename(tree.parent / "manifest")
    (tree / "bin" / "site").chmod(0o755)
    command = [tree / "bin" / "site", tree.parent / "manifest"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert (3, f"{tree}/lib False\n") == (done.returncode, done.stdout)


@pytest.mark.parametrize("python", ["/opt/my python/bin/python3", "/x" * 130])
def test_a_python_that_no_script_can_name_is_refused(python: str) -> None:
    """The kernel reads one word of at most 255 bytes from a first line."""
    with pytest.raises(ReleaseError, match="cannot start scripts"):
        KNOWN["site"].text(python)


def test_the_console_scripts_of_the_named_eggs_are_offered(tmp_path: Path) -> None:
    """Scripts of what was only required are not."""
    for name in ("My-Site", "other"):
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Name: {name}\nVersion: 1.0\n")
        entry = f"[console_scripts]\n{name} = a.b:C.run [x]\n[others]\nx = y:z\n"
        (folder / "entry_points.txt").write_text(entry)

    found = offered(tmp_path, ["my_site"])
    assert {"My-Site": Script("My-Site", "a.b", "C.run")} == found


@pytest.mark.parametrize(
    ("names", "entry_points", "expected"),
    [
        (None, [], ["site"]),
        (None, ["more=a.b:c.d"], ["more", "site"]),
        ("", ["more=a.b:c.d"], []),
        ("site=other\nmore", ["more=a.b:c.d"], ["more", "other"]),
    ],
)
def test_scripts_are_chosen_and_renamed(
    names: str | None, entry_points: list[str], expected: list[str]
) -> None:
    """The options mean what they mean to zc.recipe.egg."""
    assert expected == [one.name for one in chosen(KNOWN, names, entry_points)]


@pytest.mark.parametrize(
    ("names", "entry_points", "message"),
    [
        ("sites", [], "no.* a script 'sites'; did you mean 'site'\\?; they have site"),
        (None, ["more=a.b"], "entry-points: 'more=a.b' is not NAME=MODULE:FUNCTION"),
    ],
)
def test_a_wrong_script_is_told(
    names: str | None, entry_points: list[str], message: str
) -> None:
    """A script that nobody offers is told, with those that there are."""
    with pytest.raises(ConfigError, match=message):
        chosen(KNOWN, names, entry_points)


def test_flags_keep_the_machine_out(tree: Path) -> None:
    """Neither site-packages nor the environment's variables reach a script."""
    module = tree / "lib" / "site_module.py"
    module.write_text(
        "import sys\n\n\nclass Main:\n    @staticmethod\n    def run():\n"
        "        print('site' in sys.modules, sys.flags.isolated, *sys.path[1:])\n"
    )
    done = subprocess.run(
        [tree / "bin" / "site"],
        env={**os.environ, "PYTHONPATH": "/evil"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.startswith("False 1 ")
    assert not {"evil", "site-packages", "dist-packages"} & set(
        done.stdout.replace("/", " ").split()
    )
