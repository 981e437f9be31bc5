"""Files that an older tree of the site has: linked, instead of copied.  Effects.

Only files of sealed trees are linked: nobody may write to those, and whoever did would
write to every tree that shares them.  So each is read again before it is.
"""

from __future__ import annotations

import os
import stat
from collections import defaultdict
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.releases import contents, manifest
from pointsman.releases.layout import Release

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.releases.layout import Root
    from pointsman.releases.manifest import Manifest


class Older:
    """The files of all sealed trees of a site, by content.  For one thread."""

    def __init__(self, root: Root) -> None:
        """Read all manifests; what is built later is not known."""
        self._files: dict[tuple[str, int], list[Path]] = defaultdict(list)
        self._bytecode: dict[tuple[str, str], list[str]] = defaultdict(list)
        for tree, known in _sealed(root):
            for path, file in known.files.items():
                self._files[file.sha256, file.mode].append(tree / path)
            for made, source in known.bytecode().items():
                key = made, known.files[source].sha256
                self._bytecode[key].append(known.files[made].sha256)

    def link(self, sha256: str, mode: int, target: Path) -> bool:
        """Let ``target`` be another name of a file with that content and mode.

        False when there is none, or none that can be linked (damaged, removed
        meanwhile, linked too often, another file system).
        """
        return any(
            _links(path, sha256, mode, target)
            for path in self._files.get((sha256, mode), ())
        )

    def bytecode(self, made: str, source: str) -> tuple[str, ...]:
        """Return the digests that the bytecode at ``made`` had for that source digest.

        Its name tells which Python it is for (PEP 3147).
        """
        return tuple(dict.fromkeys(self._bytecode.get((made, source), ())))


def _sealed(root: Root) -> Iterator[tuple[Path, Manifest]]:
    for tree in sorted(root.releases.iterdir()):
        try:
            Release.parse(tree.name)
            yield tree, manifest.read(tree)
        except ReleaseError:
            continue


def _links(path: Path, sha256: str, mode: int, target: Path) -> bool:
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode) or stat.S_IMODE(status.st_mode) != mode:
            return False
        if contents.digest(path) != sha256:
            return False
        os.link(path, target)
    except OSError:
        return False
    return True
