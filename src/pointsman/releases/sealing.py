"""Making a tree final: every file known, no mode that lets anybody write.  Effects."""

from __future__ import annotations

import os
import shutil
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.releases import contents
from pointsman.releases.manifest import FILE, FOLDER_MODE, File, inside

if TYPE_CHECKING:
    from collections.abc import Mapping

#: What a file was when it was read: inode, size, time of change in ns.
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Known:
    """A file that was read already; it is read again if its stamp is another one."""

    stamp: Stamp
    sha256: str
    linked: bool


@dataclass(frozen=True, slots=True)
class Inventory:
    """All that is in a tree."""

    files: dict[str, File] = field(default_factory=dict)
    links: dict[str, str] = field(default_factory=dict)
    folders: list[str] = field(default_factory=list)


def stamp(status: os.stat_result) -> Stamp:
    """Return what shows that a file has changed."""
    return status.st_ino, status.st_size, status.st_mtime_ns


def final_mode(relative: str, mode: int) -> int:
    """Return the mode of a file in a sealed tree; all of ``bin/`` can be executed."""
    return 0o555 if mode & 0o111 or relative.startswith("bin/") else 0o444


def take(tree: Path, known: Mapping[str, Known]) -> Inventory:
    """Give every file its final mode, and return what there is.

    Folders keep theirs, see `close`.  A file that has other names elsewhere becomes
    one of its own, unless it is ``known`` to be linked to a sealed tree.

    Raises:
        ReleaseError: something is neither file, folder nor a link that stays inside.

    """
    found = Inventory()
    for path, status in contents.walk(tree):
        if stat.S_ISDIR(status.st_mode):
            found.folders.append(path)
        elif stat.S_ISLNK(status.st_mode):
            found.links[path] = _target(tree, path)
        elif stat.S_ISREG(status.st_mode):
            if path != FILE:
                found.files[path] = _file(tree, path, status, known.get(path))
        else:
            message = f"{path} is a device, a socket or a pipe: none can be released"
            raise ReleaseError(message)
    return found


def close(tree: Path, folders: list[str]) -> None:
    """Let nobody write to the folders, the tree's own last."""
    for folder in reversed(folders):
        (tree / folder).chmod(FOLDER_MODE)
    tree.chmod(FOLDER_MODE)


def _target(tree: Path, relative: str) -> str:
    """Return the text of a link; its lexical end and its real one must be inside."""
    target = os.readlink(tree / relative)  # noqa: PTH115 - its text, and not a path
    real = Path(os.path.realpath(tree / relative))
    if not inside(relative, target) or not real.is_relative_to(tree.resolve()):
        raise ReleaseError(
            f"the link {relative} leads out of the tree, to {target}; put the file "
            "itself into the tree, or make it a relative link to one"
        )
    return target


def _file(
    tree: Path, relative: str, status: os.stat_result, known: Known | None
) -> File:
    path = tree / relative
    if known is not None and known.stamp != stamp(status):
        known = None
    mode = final_mode(relative, status.st_mode)
    if known is None or not known.linked:
        if status.st_nlink > 1:
            _separate(path)
        path.chmod(mode)
    sha256 = known.sha256 if known is not None else contents.digest(path)
    return File(sha256, status.st_size, mode)


def _separate(path: Path) -> None:
    """Make a file one of its own: its other names are written to by others."""
    copy = path.with_name(f".{path.name}.copy")
    shutil.copy2(path, copy)
    copy.rename(path)
