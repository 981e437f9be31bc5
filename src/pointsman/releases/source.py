"""Building a release from a project: unpacked, bootstrapped, tested, sealed.  Effects.

A source is a folder with a ``deploy.cfg``, or an archive of one, as ``sdist`` makes it.
An archive is unpacked to an empty place of its own, which is gone afterwards; what is
left is the sealed tree, and a cache of the libraries that went into it.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.releases import cache, parcel
from pointsman.releases.layout import Release

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from pointsman.releases.layout import Root

    OnLine = Callable[[str, str], None]

CONFIGURATION = "deploy.cfg"
_SUFFIXES = (".tar.gz", ".tgz")
_SHOWN = 30  # lines of a command that has failed
# What the recipe pointsman:tree says last.
_SEALED = re.compile(r"/releases/([^/\s]+) is (sealed|there already)\b")


@dataclass(frozen=True, slots=True)
class Built:
    """A release that is there; ``fresh`` is False when it was there before."""

    release: Release
    fresh: bool


class BuildError(ReleaseError):
    """A command of the build has failed; ``output`` are its last lines."""

    def __init__(self, what: str, code: int, output: str) -> None:
        """Tell that nothing is left of it."""
        super().__init__(f"nothing is built: {what} failed with exit code {code}")
        self.output = output


def build(
    source: Path,
    root: Root,
    *,
    version: str = "",
    test: bool = False,
    python: str = "",
    on_line: OnLine = lambda _what, _line: None,
) -> Built:
    """Build the release of a project for the site at ``root``.

    ``version`` is the project's own unless it is given.  With ``test`` all of its tests
    must pass first.  ``python`` starts ``bootstrap.py``; default is the one that runs
    this.  ``on_line`` is told what the commands say, and which.

    Raises:
        BuildError: a command has failed, with its last lines.
        ReleaseError: there is nothing to build, or the archive is not as published.

    """
    with _project(source, on_line) as project:
        if not (project.folder / CONFIGURATION).is_file():
            message = f"{source} has no {CONFIGURATION}; see docs/reference/recipes.md"
            raise ReleaseError(message)
        if _buildout(project.folder) is None:
            project.run("bootstrap.py", [python or _base_python(), "bootstrap.py"])
        if test:
            project.run("bin/test", [str(project.folder / "bin" / "test")])
        return _sealed(_build(project, root, version))


def _build(project: _Project, root: Root, version: str) -> str:
    buildout = _buildout(project.folder)
    if buildout is None:
        message = f"{project.folder}: bootstrap.py has made no buildout command"
        raise ReleaseError(message)
    words = [str(buildout), "-c", CONFIGURATION, f"release:root={root.path}"]
    if version:
        words.append(f"release:version={version}")
    return project.run("buildout", words)


def _buildout(folder: Path) -> Path | None:
    places = (folder / "bin" / "buildout", folder / ".venv" / "bin" / "buildout")
    return next((path for path in places if path.is_file()), None)


def _sealed(output: str) -> Built:
    found = _SEALED.findall(output)
    if not found:
        raise ReleaseError(
            f"{CONFIGURATION} was built, and no release came of it: its part `release` "
            "must have recipe = pointsman[buildout]:tree"
        )
    name, how = found[-1]
    return Built(Release.parse(name), fresh=how == "sealed")


# THE SOURCE


@contextmanager
def _project(source: Path, on_line: OnLine) -> Iterator[_Project]:
    """Give the project to build; that of an archive has nothing yet but the cache."""
    if source.is_dir():
        yield _Project(source.absolute(), on_line)
        return
    if not source.name.endswith(_SUFFIXES):
        raise ReleaseError(f"{source} is neither a folder nor a .tar.gz")
    _compare(source)
    with (
        tempfile.TemporaryDirectory(prefix="pointsman-build-") as scratch,
        cache.shared(lambda line: on_line("cache", line)) as libraries,
    ):
        folder = _unpacked(source, Path(scratch))
        yield _Project(folder, on_line, {cache.VARIABLE: libraries})


def _compare(archive: Path) -> None:
    """Compare an archive with the checksum beside it, if there is one."""
    checksum = archive.with_name(f"{archive.name}.sha256")
    try:
        with archive.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        wanted = checksum.read_text("utf-8").split()[:1] if checksum.exists() else []
    except OSError as error:
        raise ReleaseError(f"{archive} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ReleaseError(f"{checksum} is no checksum: it is no text") from error
    if wanted and wanted != [digest]:
        raise ReleaseError(
            f"{archive} is not what was published: {checksum.name} says {wanted[0]}, "
            f"it has {digest}"
        )


def _unpacked(archive: Path, scratch: Path) -> Path:
    """Unpack an sdist; return its one folder (PEP 625)."""
    parcel.unpack(archive, scratch)
    folders = [path for path in scratch.iterdir() if path.is_dir()]
    if len(folders) != 1:
        raise ReleaseError(f"{archive} is no sdist: it has {len(folders)} folders")
    return folders[0]


# COMMANDS


def _base_python() -> str:
    """Return the interpreter without the environment that may be around it."""
    base: str = getattr(sys, "_base_executable", "") or sys.executable
    return os.path.realpath(base)


@dataclass(frozen=True, slots=True)
class _Project:
    """Where to build; ``variables`` are for its commands, besides those of ours."""

    folder: Path
    on_line: OnLine
    variables: dict[str, str] = field(default_factory=dict)

    def run(self, what: str, words: Sequence[str]) -> str:
        """Run a command; return what it has said."""
        # Other people's warnings are no errors of this build.
        own = {"PYTHONWARNINGS", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}
        ours = {key: value for key, value in os.environ.items() if key not in own}
        lines: deque[str] = deque(maxlen=10_000)
        try:
            process = subprocess.Popen(  # noqa: S603 - commands of what is built
                words,
                cwd=self.folder,
                env=ours | self.variables,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
        except OSError as error:  # also where the interpreter of its first line is gone
            raise ReleaseError(
                f"{words[0]} cannot be run in {self.folder}: {error.strerror}; if "
                "it is there, the Python of its first line is not: bootstrap.py again"
            ) from error
        with process:
            for line in process.stdout or ():
                lines.append(line)
                self.on_line(what, line.rstrip())
        if process.returncode:
            shown = "".join(list(lines)[-_SHOWN:])
            raise BuildError(what, process.returncode, shown)
        return "".join(lines)
