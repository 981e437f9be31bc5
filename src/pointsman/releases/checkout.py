"""The folder that a release is made from, as git sees it.  Effects.

Only the standard library: setup.py imports this before anything is installed.
"""

from __future__ import annotations

import hashlib
import os
import stat
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: Where the tests write that all of them passed; no part of the content.
RECORD = ".tested.json"


@dataclass(frozen=True, slots=True)
class Entry:
    """One file: the SHA-256 of its bytes, and whether it can be run."""

    sha256: str
    executable: bool = False


@dataclass(frozen=True, slots=True)
class Checkout:
    """A project's folder, which may be a part of a larger repository.

    Every method asks git, and blocks for that long.

    Raises:
        ReleaseError: git is not there, or knows nothing of the folder.

    """

    folder: Path

    def content(self) -> Mapping[str, Entry]:
        """Return all files by their paths: those of git, and new ones not ignored.

        So a new file may be added to git between the tests and the release.  A link
        counts as what it says.
        """
        names = self._git("ls-files", "-z", "--cached", "--others", *_IGNORED)
        found = {}
        for name in sorted(set(names.split("\0")) - {"", RECORD}):
            there = entry(self.folder / name)
            if there is not None:
                found[name] = there
        return found

    def changes(self) -> tuple[str, ...]:
        """Return what is not committed: a line for each file, as ``git status`` has."""
        told = self._git("status", "--porcelain", "--untracked-files=normal", "--", ".")
        ours = f"?? {RECORD}"
        return tuple(line for line in told.splitlines() if not line.endswith(ours))

    def tags(self) -> frozenset[str]:
        """Return the tags of the commit that is checked out."""
        return frozenset(self._git("tag", "--points-at", "HEAD").split())

    def _git(self, *words: str) -> str:
        # A hook of git runs with variables that name another repository.
        kept = {k: v for k, v in os.environ.items() if not k.startswith("GIT_")}
        try:
            done = subprocess.run(  # noqa: S603 - words of this module
                ["git", *words],  # noqa: S607 - the git of whoever releases
                cwd=self.folder,
                env={**kept, "LC_ALL": "C"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                check=False,
            )
        except OSError as error:
            raise ReleaseError(
                f"git, which knows what {self.folder} has, cannot be run: {error}"
            ) from error
        if done.returncode:
            told = done.stderr.decode(errors="replace").strip()
            raise ReleaseError(f"git knows nothing of {self.folder}: {told}")
        return os.fsdecode(done.stdout)


_IGNORED = ("--exclude-standard",)


def digest(content: Mapping[str, Entry]) -> str:
    """Return the SHA-256 of all of it: names, bytes, and which files can be run."""
    whole = hashlib.sha256()
    for name, one in sorted(content.items()):
        line = f"{'x' if one.executable else '-'} {one.sha256} {name}\0"
        whole.update(os.fsencode(line))
    return whole.hexdigest()


def entry(path: Path) -> Entry | None:
    """Return what a file is; None for one that is gone, and for another repository."""
    try:
        mode = path.lstat().st_mode
        if stat.S_ISLNK(mode):
            leads_to = os.fsencode(path.readlink())
            return Entry(hashlib.sha256(leads_to).hexdigest())
        if not stat.S_ISREG(mode):
            return None
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return None
    return Entry(found, executable=bool(mode & stat.S_IXUSR))
