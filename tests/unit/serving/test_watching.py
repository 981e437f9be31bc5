"""Which files a reloading server looks at."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import TYPE_CHECKING

from pointsman.serving import watching

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_changes_are_told_once(tmp_path: Path) -> None:
    """A file that changes, appears or goes is told one time."""
    kept, late = tmp_path / "kept.py", tmp_path / "late.py"
    kept.write_text("1")
    watch = watching.Watch([str(kept), str(late)])
    told = [watch.changed()]
    kept.write_text("22")
    late.write_text("1")
    told += [watch.changed(), watch.changed()]
    kept.unlink()
    told += [watch.changed()]

    assert [[], [str(kept), str(late)], [], [str(kept)]] == told


def test_modules_of_services_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins are of a class of ours; their files are pointsman's to reload."""
    stand_in = type("Facade", (ModuleType,), {"__module__": "pointsman.namespace.x"})
    for name, kind in [("served", stand_in), ("plain", ModuleType)]:
        module = kind(name)
        module.__file__ = f"/there/{name}.py"
        monkeypatch.setitem(sys.modules, name, module)
    found = watching.imported()

    assert ["/there/plain.py"] == sorted(
        file for file in found if file.startswith("/there/")
    )


def test_files_of_an_error_are_watched() -> None:
    """A file that cannot be compiled is in no module, but in the error."""
    error = SyntaxError("invalid", ("/there/broken.py", 1, 0, ""))
    outer = RuntimeError()
    outer.__cause__ = error

    assert {"/there/broken.py"} == watching.of_error(outer)
