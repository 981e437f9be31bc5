"""A small project with git, tests and a setup.py, to publish from."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tarfile
from io import BytesIO
from typing import TYPE_CHECKING

from pointsman.releases import tested
from pointsman.releases.checkout import Checkout, digest
from system_packages import require

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

SETUP = """
from setuptools import setup
from pointsman.setup_commands import Publish, Test
setup(
    name="mysite",
    version="1.2.0",
    py_modules=["hello"],
    cmdclass={"publish": Publish, "test": Test},
)
"""
FILES = {
    "setup.py": SETUP,
    "hello.py": "GREETING = 'hello'\n",
    "tests/test_hello.py": "def test_hello():\n    import hello\n",
    "pytest.ini": "[pytest]\ntestpaths = tests\npythonpath = .\n",
    "README.md": "Says hello.\n",
    "MANIFEST.in": "include *.ini .gitignore\ngraft tests\n",
    ".gitignore": "*.egg-info/\n__pycache__/\n/dist/\n/.tested.json\n.pytest_cache/\n",
}

#: What git takes from nobody's settings.
NOBODY = {
    **{
        f"GIT_{role}_{what}": "test@example.org"
        for role in ("AUTHOR", "COMMITTER")
        for what in ("NAME", "EMAIL")
    },
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
}


class Project:
    """What somebody releases: a folder with git, all of it committed and tagged."""

    def __init__(self, folder: Path, tag: str) -> None:
        require("git", "git")
        self.folder = folder
        self.git("init", "--quiet")
        self.commit()
        self.git("tag", tag)

    @classmethod
    def small(cls, folder: Path) -> Project:
        """Make one of a few files."""
        for name, text in FILES.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return cls(folder, "v1.2.0")

    def write(self, name: str, text: str) -> Path:
        """Write a file of the project."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def git(self, *words: str) -> None:
        """Let git do something, without the settings of whoever runs this."""
        environment = {**os.environ, **NOBODY}
        command = ["git", *words]
        subprocess.run(command, cwd=self.folder, env=environment, check=True)

    def commit(self) -> None:
        """Commit everything."""
        self.git("add", ".")
        self.git("commit", "--quiet", "--message", "next")

    def passes(self) -> None:
        """Leave the record of a green run, without one."""
        content = digest(Checkout(self.folder).content())
        self.write(".tested.json", f'{{"digest": "{content}"}}')
        assert content == tested.read(self.folder)

    def pack(self, *, version: str = "1.2.0", **more: str) -> Path:
        """Return an sdist as setuptools makes it, of what is there now."""
        names = [name for name in FILES if (self.folder / name).exists()]
        found = {name: (self.folder / name).read_text() for name in names}
        found["PKG-INFO"] = f"Metadata-Version: 2.4\nName: mysite\nVersion: {version}\n"
        found["mysite.egg-info/SOURCES.txt"] = "\n".join(names)
        path = self.folder / "dist" / f"mysite-{version}.tar.gz"
        path.parent.mkdir(exist_ok=True)
        with tarfile.open(path, "w:gz") as archive:
            for name, text in {**found, **more}.items():
                member = tarfile.TarInfo(f"mysite-{version}/{name}")
                member.size = len(text.encode())
                archive.addfile(member, BytesIO(text.encode()))
        return path


def python(folder: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder; it can import what this process can."""
    return _run(folder, words, {**children(), **more})


def bare_python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run the Python of the build, which has setuptools, and none of our eggs."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    return _run(folder, words, kept)


def _run(
    folder: Path, words: Sequence[str], environment: Mapping[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def children() -> dict[str, str]:
    """Return an environment in which a child finds our libraries; no plugins."""
    standard = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    ours = [path for path in sys.path if path and path not in standard]
    quick = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return {**os.environ, **quick, "PYTHONPATH": os.pathsep.join(ours)}
