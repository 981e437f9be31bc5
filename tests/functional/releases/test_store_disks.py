"""Disks that fill, disks that nobody can write to, and what a second release takes."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pointsman
from functional.releases import small_disk
from functional.releases.sealed import REQUIRES, build, environment
from pointsman.errors import ReleaseError
from pointsman.releases import bytecode, sites
from pointsman.releases.store import Store
from pointsman.releases.tree import Building

if TYPE_CHECKING:
    from collections.abc import Iterator

MIB = 1024 * 1024


def in_namespace(*command: str) -> str:
    """Run a command with mounts that nobody else sees; return what it prints."""
    own = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    return subprocess.run(
        [*own, *command],
        env=environment(),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout


@pytest.fixture(name="told", scope="module")
def _told(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Give what a store did on a disk that grew until a second release fitted."""
    folder = str(tmp_path_factory.mktemp("disk"))
    told = in_namespace(sys.executable, small_disk.__file__, folder)
    found: list[dict[str, Any]] = json.loads(told)
    return found


def test_a_disk_that_fills_while_a_release_is_built(told: list[dict[str, Any]]) -> None:
    """Wherever it fills, it is told, nothing is left, and the others are whole.

    The disk has one page more each time, so that it fills at a file, at the bytecode,
    at the manifest.  Broken on purpose, and seen: a part that is not removed.
    """
    *refused, built = told[:-1]
    sentence = "mysite-2.0 is not built, and nothing of it is left: No space left on"

    assert len(refused) > 10
    assert [] == [one for one in refused if sentence not in one["told"]]
    assert [] == [one for one in refused if "release prune" not in one["told"]]
    assert [] == [one for one in refused if one["left"] != ["mysite-1.0"]]
    assert ("", ["mysite-1.0", "mysite-2.0"]) == (built["told"], built["left"])
    assert [True, True] == built["complete"]
    assert {((), "mysite-1.0", False)} == {
        (tuple(one["wrong"]), one["current"], one["torn"]) for one in told[:-1]
    }


def test_changes_on_a_full_disk(told: list[dict[str, Any]]) -> None:
    """What cannot be written is told, and did not happen; what makes room works."""
    last = told[-1]

    assert {"commit", "quarantine", "log", "journal"} == {
        name for name, why in last["told"].items() if "No space left on device" in why
    }
    assert ("mysite-1.0", "", False, []) == (
        last["current"],
        last["quarantined"],
        last["journal"],
        last["hidden"],
    )


def test_pruning_on_a_full_disk(told: list[dict[str, Any]]) -> None:
    """It needs no room itself."""
    assert ["mysite-2.0"] == told[-1]["pruned"]


def test_a_disk_that_is_read_only(tmp_path: Path) -> None:
    """Looking works; building says which disk, and what to do."""
    release = build(tmp_path, "1.0")
    code = (
        "import sys; from pathlib import Path; from functional.releases import sealed;"
        "from pointsman.releases.store import Store; root = Path(sys.argv[1])\n"
        "print(Store(root).verify(Store(root).find('1.0')))\n"
        "build = lambda: sealed.build(root, '2.0')\n"
        "for change in (build, lambda: Store(root).prune(0)):\n"
        "    try: change()\n    except Exception as error: print(repr(error))"
    )
    script = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    told = in_namespace(
        *("sh", "-c", script, str(tmp_path), sys.executable, "-c", code, str(tmp_path))
    ).splitlines()

    assert "()" == told[0]
    assert [True, True] == ["Read-only file system" in line for line in told[1:]]
    assert [True, True] == [line.startswith("ReleaseError(") for line in told[1:]]
    assert [release] == [one.release for one in Store(tmp_path).releases()]


@pytest.mark.parametrize(
    ("number", "blamed"),
    [
        (errno.ENOSPC, True),
        (errno.EDQUOT, True),
        (errno.EIO, True),
        (errno.EPERM, False),
    ],
)
def test_whom_an_error_blames(tmp_path: Path, number: int, *, blamed: bool) -> None:
    """A builder's own errors come out as they are; those of the disk are explained."""
    error = OSError(number, os.strerror(number), "/x")
    with pytest.raises(ReleaseError if blamed else OSError) as raised:
        _fail(tmp_path, error)

    assert blamed == sites.blames_the_disk(error) == (raised.value is not error)
    assert [] == list((tmp_path / "releases").iterdir())


def _fail(root: Path, error: OSError) -> None:
    with Building(root, "mysite", "1.0"):
        raise error


# THE SECOND RELEASE


@pytest.fixture(name="compiled")
def _compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Give the list of the modules that are compiled."""
    done = []
    real = bytecode.compile_module

    def compile_module(source: Path, relative: str, target: Path) -> bool:
        done.append(relative)
        return real(source, relative, target)

    monkeypatch.setattr(bytecode, "compile_module", compile_module)
    return done


def modules() -> Iterator[tuple[Path, str]]:
    """Yield the modules of one package, and where they go."""
    package = Path(pointsman.__file__).parent / "releases"
    for path in sorted(package.rglob("*.py")):
        yield path, f"lib/pointsman/{path.relative_to(package)}"


def release(root: Path, version: str) -> int:
    """Seal a release of those and of one other; return how many take no disk."""
    with Building(root, "mysite", version) as building:
        linked = sum(building.link_or_copy(*pair) for pair in modules())
        building.write("lib/version.py", f"VERSION = {version!r}\n")
        building.compile()
        building.seal(requires=REQUIRES)
    return linked


def disk(root: Path) -> int:
    """Return how many bytes a folder takes; files with two names count once."""
    told = subprocess.check_output(["du", "-s", "--block-size=1", str(root)])
    return int(told.split()[0])


def test_the_second_release_takes_little(tmp_path: Path, compiled: list[str]) -> None:
    """Nothing is copied or compiled that the first one has: only what has changed.

    ``bin/bench release`` measures it with all libraries.
    """
    first = release(tmp_path, "1.0")
    took, n_compiled = disk(tmp_path), len(compiled)
    second = release(tmp_path, "2.0")
    number = len(list(modules()))

    assert (0, number + 1, number) == (first, n_compiled, second)
    assert ["lib/version.py"] == compiled[n_compiled:]
    assert disk(tmp_path) - took < took / 4 < 5 * MIB
