"""Files of its own for each version of a package, as long as it lives.  Effects.

``__file__``, templates, ``importlib.resources``, ``inspect.getsource`` and
tracebacks lead to files.  If those were the ones that somebody edits, an old
version would show the new text.  So each artifact is laid out once below the work
directory, in a folder of this process that nobody else writes to.
"""

from __future__ import annotations

import itertools
import os
import re
import shutil
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.model import Kind

if TYPE_CHECKING:
    from pointsman.model import Artifact

_FOLDER = re.compile(r"(\d+)-(\d+)(?:\.\d+)?\Z")
_numbers = itertools.count(1)  # of those in this process that share a work directory


class Unpacked:
    """The artifacts laid out by this process.  Any thread.

    Close it to remove them; what a killed process left is removed by the next
    one that starts with the same work directory.
    """

    def __init__(self, work_dir: Path, cache: Path | None = None) -> None:
        """Lay out below ``work_dir/run``; make nothing yet.

        ``cache`` is a folder with artifacts, each called by its digest: a module is
        linked from there.  A service that writes to its own file damages that, too;
        whoever reads the cache compares the digest.
        """
        self._parent = work_dir / "run"
        self._cache = cache
        self._lock = threading.Lock()  # guards _users and the folders
        self._users: dict[Path, int] = {}
        self._pid = os.getpid()
        self._number = next(_numbers)
        self.base = self._folder()

    def place(self, artifact: Artifact) -> Path:
        """Return the folder of ``artifact``, laid out; give it back by `leave`.

        Raises:
            ReleaseError: the disk does not take it.

        """
        with self._lock:
            self._own()
            folder = self.base / f"{artifact.package}@{artifact.digest[:12]}"
            try:
                if folder not in self._users:
                    self._lay_out(artifact, folder)
            except OSError as error:
                message = (
                    f"cannot lay out {artifact.package} in {folder}: "
                    f"{error.strerror or error}; give work_dir room and rights"
                )
                raise ReleaseError(message) from error
            self._users[folder] = self._users.get(folder, 0) + 1
        return folder

    def leave(self, folder: Path) -> bool:
        """Give a folder back; True when that was its last user and it is gone."""
        with self._lock:
            self._own()
            users = self._users.pop(folder, 1) - 1
            if users:
                self._users[folder] = users
                return False
            if folder.parent == self.base:
                shutil.rmtree(folder, ignore_errors=True)
            return True

    def _own(self) -> None:
        """Lay out elsewhere after a fork; the parent's folders stay the parent's."""
        pid = os.getpid()
        if pid != self._pid:
            self._pid = pid
            self.base = self._folder()

    def _folder(self) -> Path:
        return self._parent / f"{self._pid}-{started(self._pid)}.{self._number}"

    def close(self) -> None:
        """Remove everything of this process (not of the one it was forked from)."""
        if os.getpid() == self._pid:
            shutil.rmtree(self.base, ignore_errors=True)

    def sweep(self) -> None:
        """Remove what processes that are gone have left."""
        if not self._parent.is_dir():
            return
        for folder in self._parent.iterdir():
            match = _FOLDER.match(folder.name)
            if match and started(int(match[1])) != int(match[2]):
                shutil.rmtree(folder, ignore_errors=True)

    def _lay_out(self, artifact: Artifact, folder: Path) -> None:
        if artifact.kind is Kind.MODULE and self._linked(artifact, folder):
            return
        half = folder.with_name(f".{folder.name}")
        shutil.rmtree(half, ignore_errors=True)
        half.mkdir(parents=True, mode=0o700)
        for path, content in artifact.files.items():
            target = half / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        shutil.rmtree(folder, ignore_errors=True)
        half.rename(folder)

    def _linked(self, artifact: Artifact, folder: Path) -> bool:
        """Link a module from the cache, if it has it: that writes no second file."""
        if self._cache is None:
            return False
        ((name, content),) = artifact.files.items()
        cached = self._cache / artifact.digest
        try:
            if cached.read_bytes() != content:
                return False
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(parents=True, mode=0o700)
            (folder / name).hardlink_to(cached)
        except OSError:  # not there, on another disk, linked too often
            return False
        return True


def started(pid: int) -> int:
    """Return when a process started, in clock ticks since boot; 0 if it is gone.

    With the pid this names a process for good (proc(5), field 22 of ``stat``).  One
    that has ended and that nobody has waited for (a zombie) is gone.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except OSError:
        return 0
    fields = stat.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])
