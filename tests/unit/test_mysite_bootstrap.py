"""The bootstrap.py of a new site: what its builds share.

Broken on purpose, and seen to fail: tools taken that an interrupted build has left
half-way; tools of another pin; those of the cache not seen by the environment.
"""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pointsman

if TYPE_CHECKING:
    from types import ModuleType

FILE = Path(pointsman.__file__).parent / "cli" / "mysite" / "bootstrap.py"
INSTALL = ["pip", "install"]
TOOLS = ["pip==1", "zc.buildout==5"]


class Site:
    """A folder with an environment that has nothing in it."""

    def __init__(
        self, folder: Path, cache: Path | None, steps: list[list[str]]
    ) -> None:
        self.module = self._loaded()
        self.steps = steps
        self.fails = False
        module: Any = self.module
        module.ROOT, module.BIN = folder, folder / "bin"
        module.VENV = self.venv = folder / ".venv"
        module.CACHE = str(cache or "")
        module.step = self._step
        subprocess.run(
            [sys.executable, "-m", "venv", "--without-pip", self.venv], check=True
        )

    def _loaded(self) -> ModuleType:
        spec = importlib.util.spec_from_file_location("mysite_bootstrap", FILE)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    def _step(self, title: str, command: list[object]) -> None:
        words = [str(word) for word in command]
        self.steps.append([title, *words])
        if "--target" in words:
            package = Path(words[words.index("--target") + 1], "zc", "buildout")
            package.mkdir(parents=True)
            if self.fails:
                raise self.module.Failure("interrupted")
            code = "def main():\n    print('I am buildout')\n"
            (package / "buildout.py").write_text(code)

    def install(self, tools: list[str] = TOOLS) -> None:
        """Make the tools known to the environment."""
        self.module.install_tools(INSTALL, tools)

    def buildout(self) -> str:
        """Return what its buildout says."""
        return subprocess.check_output([self.venv / "bin" / "buildout"], text=True)


def test_tools_are_installed_once(tmp_path: Path) -> None:
    """The second folder takes those of the first; other pins make others."""
    steps: list[list[str]] = []
    sites = [
        Site(tmp_path / name, tmp_path / "cache", steps) for name in ("one", "two")
    ]
    for site in sites:
        site.install()
        assert "I am buildout\n" == site.buildout()
    assert 1 == len(steps)

    sites[1].install(["pip==2", "zc.buildout==5"])
    assert 2 == len(steps)


def test_tools_of_an_interrupted_build_are_not_taken(tmp_path: Path) -> None:
    """They are whole, or not there."""
    site = Site(tmp_path / "one", tmp_path / "cache", [])
    site.fails = True
    with pytest.raises(site.module.Failure):
        site.install()
    site.fails = False
    site.install()

    assert "I am buildout\n" == site.buildout()


def test_without_a_cache_they_are_in_the_environment(tmp_path: Path) -> None:
    """As pip does it, with its own scripts."""
    site = Site(tmp_path / "one", None, [])
    site.install()

    assert [["packages", *INSTALL, *TOOLS]] == site.steps
