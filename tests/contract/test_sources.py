"""What every source promises (`pointsman.interfaces.Source`), run on each of them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from pointsman.sources.service_list import ServiceList

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pointsman.interfaces import Source
    from pointsman.model import Scan


class Listed:
    """A service list that names one directory."""

    def __init__(self, folder: Path) -> None:
        self.place = folder / "services"
        self.place.mkdir()
        self._list = folder / "list.txt"
        self._list.write_text("services\n")

    def source(self) -> Source:
        """Return a source that has looked at nothing yet."""
        return ServiceList(self._list, lambda: ())


@pytest.fixture(name="origin", params=[Listed])
def _origin(request: pytest.FixtureRequest, tmp_path: Path) -> Listed:
    made: Callable[[Path], Listed] = request.param
    return made(tmp_path)


def digests(scan: Scan) -> dict[str, str]:
    """Return the digest of each package of a scan."""
    return {package.name: package.artifact.digest for package in scan.packages}


def test_nothing_there(origin: Listed) -> None:
    """An empty place is a complete scan without packages and problems."""
    scan = origin.source().scan()

    assert ((), (), True) == (scan.packages, scan.problems, scan.complete)


def test_each_package_once(origin: Listed) -> None:
    """Every package comes once, with the bytes that are there."""
    (origin.place / "a.py").write_bytes(b"x = 1\n")
    (origin.place / "b.py").write_bytes(b"x = 2\n")
    scan = origin.source().scan()

    assert {"a": b"x = 1\n", "b": b"x = 2\n"} == {
        one.name: one.artifact.files[f"{one.name}.py"] for one in scan.packages
    }
    assert 2 == len(scan.packages)


def test_scanning_twice_is_the_same(origin: Listed) -> None:
    """Without a change in between, digests are the same; for a new source too."""
    (origin.place / "a.py").write_text("x = 1\n")
    source = origin.source()
    first, second = digests(source.scan()), digests(source.scan())

    assert (first, first) == (second, digests(origin.source().scan()))


def test_rewriting_is_seen(origin: Listed) -> None:
    """A rewrite of the same size, with the same times, is another digest at once."""
    file = origin.place / "a.py"
    file.write_text("x = 1\n")
    stat = file.stat()
    source = origin.source()
    seen = {digests(source.scan())["a"]}
    for number in range(2, 10):
        file.write_text(f"x = {number}\n")
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        seen.add(digests(source.scan())["a"])

    assert 9 == len(seen)


def test_removal_and_return_are_seen(origin: Listed) -> None:
    """What is gone is in no scan; put back, it is the version that it was."""
    file = origin.place / "a.py"
    file.write_text("x = 1\n")
    source = origin.source()
    first = digests(source.scan())
    file.unlink()
    gone = digests(source.scan())
    file.write_text("x = 1\n")

    assert ({}, first) == (gone, digests(source.scan()))


@pytest.mark.parametrize("how", ["folder", "link", "pipe", "name"])
def test_what_cannot_be_used_hides_nothing(origin: Listed, how: str) -> None:
    """A problem has its place and a reason; the rest is found, nothing is raised."""
    bad = origin.place / "bad.py"
    if how == "folder":
        bad.mkdir()
    elif how == "link":
        bad.symlink_to("nothing")
    elif how == "pipe":
        os.mkfifo(bad)
    else:
        (origin.place / "bad-name.py").write_text("")
    (origin.place / "good.py").write_text("")
    scan = origin.source().scan()

    assert ["good"] == [package.name for package in scan.packages]
    assert 1 == len(scan.problems)
    assert "bad" in scan.problems[0].reason
    assert scan.problems[0].where
    if how != "name":
        assert "bad" == scan.problems[0].package


def test_place_that_disappears(origin: Listed) -> None:
    """When the place itself is gone, the scan says which folder, or is incomplete."""
    (origin.place / "a.py").write_text("")
    source = origin.source()
    source.scan()
    origin.place.rename(origin.place.with_name("away"))
    scan = source.scan()

    assert () == scan.packages
    assert not scan.complete or [str(origin.place)] == [
        problem.folder for problem in scan.problems
    ]
