"""What a release takes when another one with the same libraries is there already."""

from __future__ import annotations

import subprocess
import tempfile
import time
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from functional.releases.machine import Machine
from functional.releases.project import bare_python
from perf.table import Table, met
from pointsman.releases.tree import Building

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from importlib.metadata import Distribution

    # Seconds and MB of new disk, of the first one and of the second.
    Two = tuple[tuple[float, float], tuple[float, float]]

RUNS, QUICK_RUNS = 3, 1
_MB = 1e6
_MOST_MB = 5.0  # that a second release may take
_SHARE = 0.25  # of the first one's time


def measure(*, quick: bool = False) -> list[Table]:
    """Build two releases in an empty place, a few times."""
    times = range(QUICK_RUNS if quick else RUNS)
    files = len(list(_sources()))
    with Machine() as machine:
        archives = _archives(machine)
        whole = [_built(machine, archives) for _ in times]
    return [
        _table(
            "two archives of a new site, with pointsman release build",
            whole,
            "From the archive to the sealed tree: unpacked, bootstrapped, built.",
            "Wheels come from a folder of this machine, and from no network.",
        ),
        _table(
            f"two trees with the same {files} files of libraries",
            [_placed() for _ in times],
            "From the first file to the name of the tree, without buildout;",
            "with bytecode, digests and the wait for the disk.",
        ),
    ]


def _table(title: str, runs: list[Two], *notes: str) -> Table:
    first, second = (median(run[n][0] for run in runs) for n in (0, 1))
    full, new = (max(run[n][1] for run in runs) for n in (0, 1))
    share = second / first
    return Table(
        f"release: {title}, {len(runs)} times",
        ("release", "seconds", "of the first", "wanted", "MB of new disk", "wanted MB"),
        (
            ("first", first, 1.0, None, full, None),
            ("second", second, share, met(share, _SHARE), new, met(new, _MOST_MB)),
        ),
        (*notes, "Medians of the times, the most of the disk."),
    )


# WHOLE SITES


def _archives(machine: Machine) -> tuple[Path, Path]:
    """Return two releases of a new site, as its developer publishes them."""
    machine.publish()
    machine.run("python3 -m venv tools && tools/bin/pip install -q pointsman")
    machine.run("tools/bin/pointsman init mysite")
    project = machine.work / "mysite"
    for version in ("1.0.0", "1.0.1"):
        setup = project / "setup.py"
        setup.write_text(setup.read_text("utf-8").replace("1.0.0", version), "utf-8")
        packed = bare_python(project, "setup.py", "-q", "sdist")
        assert 0 == packed.returncode, packed.stderr
    first, second = sorted((project / "dist").glob("*.tar.gz"))
    return first, second


def _built(machine: Machine, archives: tuple[Path, Path]) -> Two:
    """Build both for a new root, with a cache that is empty at first."""
    with tempfile.TemporaryDirectory(prefix="pointsman-", dir=machine.top) as name:
        root = Path(name) / "site"
        root.mkdir()
        cache = f"POINTSMAN_BUILD_CACHE={name}/cache"
        build = f"{cache} tools/bin/pointsman release build --root {root}"
        first, second = (
            _timed(root, partial(machine.run, f"{build} {one}")) for one in archives
        )
        return first, second


# TREES


def _placed() -> Two:
    with tempfile.TemporaryDirectory(prefix="pointsman-") as name:
        root = Path(name) / "site"
        root.mkdir()
        first, second = (
            _timed(root, partial(_place, root, one)) for one in ("1.0.0", "1.0.1")
        )
        return first, second


def _timed(root: Path, build: Callable[[], object]) -> tuple[float, float]:
    """Return the seconds that it takes, and the MB of new disk."""
    before, began = _disk(root), time.monotonic()
    build()
    return time.monotonic() - began, (_disk(root) - before) / _MB


def _place(root: Path, version: str) -> None:
    with Building(root, "mysite", version) as building:
        for source, relative in _sources():
            building.link_or_copy(source, f"lib/{relative}")
        building.write("etc/deploy.ini", f"# {version}\n")
        building.compile()
        building.seal(requires={})


def _disk(folder: Path) -> int:
    """Return the bytes that it takes; files with two names count once."""
    told = subprocess.check_output(["du", "-s", "--block-size=1", str(folder)])
    return int(told.split()[0])


def _sources() -> Iterator[tuple[Path, str]]:
    """Yield every file of the libraries, and its place below ``lib/``."""
    for each in _needed():
        for file in each.files or ():
            path = Path(str(each.locate_file(file)))
            if path.is_file() and not {"__pycache__", ".."} & set(file.parts):
                yield path, str(file)


def _needed() -> list[Distribution]:
    """Return what serves, with all that it needs."""
    found: dict[str, Distribution] = {}
    waiting = [Requirement("pointsman[examples,zodb]")]
    while waiting:
        wanted = waiting.pop()
        if wanted.name in found:
            continue
        each = found[wanted.name] = distribution(wanted.name)
        for line in each.requires or ():
            needed = Requirement(line)
            extras = [*wanted.extras, ""]
            if needed.marker is None or any(
                needed.marker.evaluate({"extra": extra}) for extra in extras
            ):
                waiting.append(needed)
    return list(found.values())
