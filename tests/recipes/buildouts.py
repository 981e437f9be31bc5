"""A folder with a real buildout, which manuals and tests run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
# The program beside the Python that runs the tests, with its eggs and wheels.
PROGRAM = Path(sys.prefix) / "bin" / "buildout"
_NOISE = re.compile(
    r"^(root: .*|.*UserWarning: Module zc was.*|  ws\.add\(dist\))\n", re.MULTILINE
)

#: What every deploy.cfg of a manual has besides: our eggs and pins, and no network.
HEAD = f"""\
[buildout]
extends = {CHECKOUT}/versions.cfg
eggs-directory = {CHECKOUT}/eggs
allow-picked-versions = false
newest = false
index = file:///nowhere/
find-links = {Path(sys.prefix) / "wheels" / "dist"}
installed = .release.cfg
""".splitlines()
SETUP = """\
from setuptools import setup

setup(
    name="mysite",
    version="1.0",
    py_modules=["mysite"],
    install_requires=[{requires}],
    entry_points={{"console_scripts": ["mysite = mysite:main"]}},
)
"""
MODULE = """\
import sys


def main():
    print("mysite 1.0 says hello")
"""


class Folder:
    """A site's source folder; ``root`` beside it is where its releases go."""

    def __init__(self, folder: Path) -> None:
        """Make the folder, with the develop egg of this checkout."""
        self.path = folder / "mysite"
        self.root = folder / "root"
        self.path.mkdir()
        shutil.copytree(CHECKOUT / "develop-eggs", self.path / "develop-eggs")

    def site(self, requires: str = "") -> None:
        """Write a project of one module with one command, and make its develop egg."""
        self.write("setup.py", SETUP.format(requires=requires))
        self.write("mysite.py", MODULE)
        self.config("parts =\ndevelop = .\ninstalled = .installed.cfg\n")
        said = self.run()
        assert said.endswith("Develop: 'SITE/.'\n"), said

    def write(self, name: str, text: str) -> Path:
        """Write a file of the source."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text).lstrip("\n"))
        return path

    def config(self, text: str) -> None:
        """Write deploy.cfg; what belongs to the tests stands before ``text``."""
        text = textwrap.dedent(text)
        written = {
            line.partition(" ")[0] for line in text.partition("[")[0].split("\n")
        }
        head = [line for line in HEAD if line.partition(" ")[0] not in written]
        self.write("deploy.cfg", "\n".join([*head, text]))

    def carry(self, name: str) -> list[str]:
        """Put the wheels of a distribution into the site's own wheelhouse."""
        folder = self.path / "wheelhouse" / "dist"
        folder.mkdir(parents=True)
        wheels = sorted((Path(sys.prefix) / "wheels" / "dist").glob(f"{name}-*.whl"))
        for wheel in wheels:
            shutil.copy(wheel, folder)
        return [wheel.name for wheel in wheels]

    def eggs_without(self, name: str) -> None:
        """Give the site a folder of eggs, all of this checkout's but one."""
        shutil.rmtree(self.path / "eggs", ignore_errors=True)
        (self.path / "eggs" / "v5").mkdir(parents=True)
        for egg in (CHECKOUT / "eggs" / "v5").iterdir():
            if not egg.name.startswith(f"{name}-"):
                (self.path / "eggs" / "v5" / egg.name).symlink_to(egg)

    def run(self, *arguments: str, program: tuple[str, ...] = ()) -> str:
        """Run ``buildout -c deploy.cfg``; return what it says, with short paths."""
        done = subprocess.run(
            [*program, str(PROGRAM), "-c", "deploy.cfg", *arguments],
            cwd=self.path,
            env=environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=120,
        )
        failed = f"exit code {done.returncode}\n" if done.returncode else ""
        return self.short(done.stdout) + failed

    def short(self, text: str) -> str:
        """Return text without what differs from run to run."""
        text = _NOISE.sub("", text)
        return text.replace(str(self.root), "ROOT").replace(str(self.path), "SITE")

    def tree(self, name: str) -> Path:
        """Return the tree of a release."""
        return self.root / "releases" / name

    def releases(self) -> list[str]:
        """Return what lies in ``releases``."""
        return sorted(path.name for path in (self.root / "releases").iterdir())


def environment() -> dict[str, str]:
    """Return what buildout gets: no network, and nothing of our own Python."""
    wheels = Path(sys.prefix) / "wheels" / "dist"
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
    offline = {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": wheels.as_uri()}
    return {**kept, **offline, "PIP_CONFIG_FILE": os.devnull}


def say(command: list[str | Path]) -> str:
    """Return what a command prints, in an environment with nothing in it."""
    words = [str(word) for word in command]
    done = subprocess.run(
        words,
        env={"PATH": "/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.stdout
