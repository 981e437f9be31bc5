"""What is put into a tree, and what cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointsman.errors import ConfigError, ReleaseError
from pointsman.recipes.distributions import Distribution
from pointsman.recipes.tree import _put_distributions, _put_folder
from pointsman.releases.tree import Building

if TYPE_CHECKING:
    from pathlib import Path


def egg(folder: Path, name: str, **files: str) -> Distribution:
    """Make a distribution with these modules of a shared namespace package."""
    for module, text in files.items():
        path = folder / name / "shared" / f"{module}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / name / f"{name}-1.0.dist-info").mkdir()
    (folder / name / f"{name}-1.0.dist-info" / "METADATA").write_text(name)
    return Distribution(name, "1.0", folder / name)


def test_distributions_share_a_namespace_package(tmp_path: Path) -> None:
    """All go into one folder; the same file with the same content is no clash."""
    both = [egg(tmp_path, "one", a="1", b="x"), egg(tmp_path, "two", b="x", c="2")]
    with Building(tmp_path / "site", "site", "1.0") as building:
        _put_distributions(building, both)
        found = sorted(path.name for path in building.path.glob("lib/shared/*"))

    assert ["a.py", "b.py", "c.py"] == found


def test_two_owners_of_one_file_are_refused(tmp_path: Path) -> None:
    """Other content in the same place: both distributions are named, and the file."""
    both = [egg(tmp_path, "one", a="1"), egg(tmp_path, "two", a="2")]
    message = r"one and two both have a shared/a\.py, and not the same one"
    with (
        pytest.raises(ReleaseError, match=message),
        Building(tmp_path / "site", "site", "1.0") as building,
    ):
        _put_distributions(building, both)

    assert [] == list((tmp_path / "site" / "releases").iterdir())


def test_folders_go_in_without_bytecode(tmp_path: Path) -> None:
    """A folder of the project goes in as it is; what Python has left there does not."""
    source = tmp_path / "pages"
    (source / "deep" / "__pycache__").mkdir(parents=True)
    (source / "deep" / "__pycache__" / "a.pyc").touch()
    (source / "deep" / "a.html").touch()
    with Building(tmp_path / "site", "site", "1.0") as building:
        _put_folder(building, source, "pages")
        found = [path for path in building.path.rglob("*") if path.is_file()]
        assert [building.path / "pages" / "deep" / "a.html"] == found

        with pytest.raises(ConfigError, match=f"there is no folder {tmp_path}/nowhere"):
            _put_folder(building, tmp_path / "nowhere", "x")
