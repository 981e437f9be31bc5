"""From files to artifacts, reading again only what may have changed.  Effects."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ArtifactError
from pointsman.model import Artifact, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: A file this young may change once more without a new time (git calls it racy):
#: kernels stamp files a few milliseconds apart, file servers up to two seconds.
RACY = 2.0

LIMIT = 64 * 1024 * 1024

_Signature = tuple[int, int, int, int]


class Reader:
    """Reads files, and remembers them by device, size, times and inode.

    For one thread at a time.
    """

    def __init__(self) -> None:
        """Remember nothing."""
        self._files: dict[Path, tuple[_Signature, bytes]] = {}
        self._artifacts: dict[str, Artifact] = {}

    def module(self, path: Path) -> Artifact:
        """Return the artifact of one ``.py`` file.

        Raises:
            OSError: it cannot be read.
            ArtifactError: it cannot be a package.

        """
        files = {path.name: self._read(path)}
        return self._artifact(path.stem, Kind.MODULE, files, str(path))

    def tree(self, folders: list[Path]) -> Artifact:
        """Return the artifact of a folder, or of the portions of one (PEP 420).

        Raises:
            OSError: something in it cannot be read.
            ArtifactError: it is too large, or cannot be a package.

        """
        name, origin = folders[0].name, str(folders[0].parent)
        files: dict[str, bytes] = {}
        total = 0
        for folder in folders:
            for path in walk(folder):
                relative = path.relative_to(folder.parent).as_posix()
                if relative not in files:
                    files[relative] = self._read(path)
                    total += len(files[relative])
                if total > LIMIT:
                    reason = (
                        f"it is larger than {LIMIT >> 20} MiB; keep data outside, and "
                        "give its path as a setting"
                    )
                    raise ArtifactError(name, str(folder), reason)
        return self._artifact(name, Kind.TREE, files, origin)

    def _artifact(
        self, name: str, kind: Kind, files: Mapping[str, bytes], origin: str
    ) -> Artifact:
        known = self._artifacts.get(origin + "/" + name)
        if known is not None and _same(known.files, files):
            return known  # with the digest that was computed before
        made = Artifact(name, kind, files, origin)
        self._artifacts[origin + "/" + name] = made
        return made

    def _read(self, path: Path) -> bytes:
        signature = _signature(os.stat(path))  # noqa: PTH116 - many thousand times
        known = self._files.get(path)
        if known is not None and known[0] == signature:
            return known[1]
        content = path.read_bytes()
        newest = max(signature[2], signature[3]) / 1e9
        if time.time() - newest > RACY:
            self._files[path] = (signature, content)
        else:
            self._files.pop(path, None)
        return content


def walk(folder: Path) -> Iterator[Path]:
    """Return the files of a package's folder, without caches and hidden files."""
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(f for f in folders if f != "__pycache__" and f[0] != ".")
        for name in sorted(names):
            if not (name.startswith(".") or name.endswith((".pyc", "~", ".swp"))):
                yield Path(parent, name)


def _refuse(error: OSError) -> None:
    raise error


def _signature(stat: os.stat_result) -> _Signature:
    return (stat.st_dev ^ stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)


def _same(one: Mapping[str, bytes], other: Mapping[str, bytes]) -> bool:
    return one.keys() == other.keys() and all(
        one[path] is other[path] or one[path] == other[path] for path in one
    )
