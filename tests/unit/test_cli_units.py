"""What ``deploy --watch`` finds in a folder, and when it counts as saved."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.cli.units import Units

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def names(units: Units) -> list[str]:
    """Return what has changed since the last call."""
    return sorted(unit.name for unit in units.changed())


def test_what_can_be_deployed_is_found(tmp_path: Path) -> None:
    """Modules, archives, wheels and folders with a manifest; nothing else."""
    for name in ("a.py", "b.sar", "c.zip", "d-1-py3-none-any.whl", "e.txt", ".f.py"):
        (tmp_path / name).write_text("x = 1\n")
    (tmp_path / "~g.py").write_text("x = 1\n")
    for folder, file in (("packed", "service.ini"), ("other", "readme.txt")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text("[package]\n")

    found = names(Units(tmp_path))

    assert ["a.py", "b.sar", "c.zip", "d-1-py3-none-any.whl", "packed.sar"] == found


def test_a_folder_with_a_manifest_is_one_archive(tmp_path: Path) -> None:
    """Its modules are not deployed one by one; each of them makes it new."""
    (tmp_path / "service.ini").write_text("[package]\n")
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "views.py").write_text("x = 1\n")
    units = Units(tmp_path)
    archive = f"{tmp_path.name}.sar"
    assert [archive] == names(units)
    assert [] == names(units)

    (tmp_path / "web" / "views.py").write_text("x = 22\n")

    assert [archive] == names(units)


def test_only_what_was_saved_is_told_again(tmp_path: Path) -> None:
    """An unchanged neighbour, a bytecode cache and an empty file are left alone."""
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("x = 1\n")
    units = Units(tmp_path)
    assert ["a.py", "b.py"] == names(units)

    (tmp_path / "b.py").write_text("x = 22\n")
    (tmp_path / "c.py").touch()
    (tmp_path / "__pycache__").mkdir()

    assert ["b.py"] == names(units)


def test_a_file_that_came_back_is_new(tmp_path: Path) -> None:
    """What was deleted and written again is deployed again."""
    (tmp_path / "a.py").write_text("x = 1\n")
    units = Units(tmp_path)
    assert ["a.py"] == names(units)
    (tmp_path / "a.py").unlink()
    assert [] == names(units)

    (tmp_path / "a.py").write_text("x = 1\n")

    assert ["a.py"] == names(units)


def test_what_could_not_be_sent_is_told_again(tmp_path: Path) -> None:
    """After a server that did not answer, the next look has it again."""
    (tmp_path / "a.py").write_text("x = 1\n")
    units = Units(tmp_path)
    changed = units.changed()

    units.forget(changed)

    assert changed == units.changed()


def test_a_file_that_is_being_written_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A half one is not deployed.  Broken on purpose: without the second look."""
    file = tmp_path / "a.py"
    file.write_text("x = (\n")
    writes = iter(["x = (\n1,\n", "x = (\n1,\n2)\n"])
    seen: list[str] = []

    def pause(_: float) -> None:
        seen.append(file.read_text())
        file.write_text(next(writes, seen[-1]))

    monkeypatch.setattr("pointsman.cli.units.time.sleep", pause)
    (unit,) = Units(tmp_path).changed()

    assert len("x = (\n1,\n2)\n") == unit.fingerprint()[0][2]
    assert 3 <= len(seen)
