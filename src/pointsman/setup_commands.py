"""Commands of setup.py: ``sdist publish --to DIR``, and ``test``.  Edge.

Entry points of the group ``distutils.commands``, so that every project in whose
environment pointsman is has them; its own setup.py, which runs before anything is
installed, imports this from the source.  Only the standard library and setuptools.
"""

from __future__ import annotations

import logging
import shlex
import subprocess
import sys
from pathlib import Path
from typing import ClassVar

from setuptools import Command
from setuptools.errors import BaseError

from pointsman.errors import ReleaseError
from pointsman.releases.publish import publish


class Publish(Command):
    """Put what the commands before this one have built into a shared directory."""

    description = "put the sdist and its checksum where all servers see them"
    command_name = "publish"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = [
        ("to=", None, "the directory; it has to be there"),
        ("force=", None, "publish what is not tested, tagged ... for this REASON"),
    ]

    def initialize_options(self) -> None:
        """Start without a directory; ``[publish]`` of setup.cfg may have one."""
        self.to: str | None = None
        self.force = None  # by this name every command has one, of another type

    def finalize_options(self) -> None:
        """Require the directory."""
        if not self.to:
            raise BaseError("publish where?  setup.py sdist publish --to DIR")

    def run(self) -> None:
        """Publish; a refusal is one message, and exit code 1."""
        assert self.to is not None  # noqa: S101 - finalize_options
        files = [Path(name) for _, _, name in self.distribution.dist_files]
        if not files:
            raise BaseError("nothing is built to publish: setup.py sdist publish")
        try:
            published = publish(files, Path(self.to), force=str(self.force or ""))
        except ReleaseError as error:
            raise BaseError(str(error)) from None
        for file in published.files:
            what = "published" if file.fresh else "was there"
            said = f"{what}: {file.path} (sha256 {file.sha256})"
            self.announce(said, logging.INFO)


class Test(Command):
    """Run the project's tests: setuptools has no command for it any more."""

    description = "build, and run the tests: bootstrap.py test, or bin/test"
    command_name = "test"
    user_options: ClassVar[list[tuple[str, str | None, str]]] = [
        ("arguments=", "a", "words for the tests: '-k hello'"),
    ]

    def initialize_options(self) -> None:
        """Run all, unless told otherwise."""
        self.arguments = ""

    def finalize_options(self) -> None:
        """Split the words as a shell does."""
        self.words = shlex.split(self.arguments)

    def run(self) -> None:
        """Run them, with the Python that runs this; fail as they do."""
        command = _test_command(Path()) + self.words
        code = subprocess.run(command, check=False).returncode  # noqa: S603 - the project's
        if code:
            raise BaseError(f"{shlex.join(command)} has failed (exit code {code})")


def _test_command(folder: Path) -> list[str]:
    if (folder / "bootstrap.py").is_file():
        return [sys.executable, "bootstrap.py", "test"]
    if (folder / "bin" / "test").is_file():
        return [str(Path("bin", "test").absolute())]
    raise BaseError("there is neither a bootstrap.py nor a bin/test to run the tests")
