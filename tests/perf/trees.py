"""What a release takes when another one with the same libraries is there already."""

from __future__ import annotations

import subprocess
import tempfile
import time
from importlib.metadata import distribution
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

from perf.table import Table, met
from pointsman.releases.tree import Building

if TYPE_CHECKING:
    from collections.abc import Iterator
    from importlib.metadata import Distribution

RUNS, QUICK_RUNS = 3, 1
_MB = 1e6
_MOST_MB = 5.0  # that a second release may take
_SHARE = 0.25  # of the first one's time


def measure(*, quick: bool = False) -> list[Table]:
    """Build two releases in an empty place, a few times."""
    runs = [_two() for _ in range(QUICK_RUNS if quick else RUNS)]
    first, second = (median(run[n][0] for run in runs) for n in (0, 1))
    full, new = (max(run[n][1] for run in runs) for n in (0, 1))
    files = len(list(_sources()))
    return [
        Table(
            f"release: two trees with the same {files} files of libraries, "
            f"{len(runs)} times",
            (
                "tree",
                "seconds",
                "of the first",
                "wanted",
                "MB of new disk",
                "wanted MB",
            ),
            (
                ("first", first, 1.0, None, full, None),
                (
                    *("second", second, second / first, met(second / first, _SHARE)),
                    *(new, met(new, _MOST_MB)),
                ),
            ),
            (
                "Medians of the times: from the first file to the name of the tree.",
                "With bytecode, digests and the wait for the disk; without buildout.",
            ),
        )
    ]


def _two() -> tuple[tuple[float, float], tuple[float, float]]:
    """Return seconds and new MB of both."""
    with tempfile.TemporaryDirectory(prefix="pointsman-") as name:
        root = Path(name) / "site"
        root.mkdir()
        return _built(root, "1.0.0"), _built(root, "1.0.1")


def _built(root: Path, version: str) -> tuple[float, float]:
    before, began = _disk(root), time.monotonic()
    with Building(root, "mysite", version) as building:
        for source, relative in _sources():
            building.link_or_copy(source, f"lib/{relative}")
        building.write("etc/deploy.ini", f"# {version}\n")
        building.compile()
        building.seal(requires={})
    return time.monotonic() - began, (_disk(root) - before) / _MB


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
