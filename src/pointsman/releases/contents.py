"""What lies in a tree, and whether it is what the manifest says.  Effects: reads."""

from __future__ import annotations

import hashlib
import os
import stat
from typing import TYPE_CHECKING

from pointsman.releases import manifest as manifests

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.releases.manifest import File, Manifest


def digest(path: Path | str) -> str:
    """Return the SHA-256 of a file, in hex."""
    with open(path, "rb") as file:  # noqa: PTH123 - called for thousands of files
        return hashlib.file_digest(file, "sha256").hexdigest()


def walk(tree: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Yield every path below a tree with its lstat(2), folders before what is in them.

    Raises:
        OSError: a folder cannot be read.

    """
    waiting = [""]
    while waiting:
        folder = waiting.pop()
        with os.scandir(tree / folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            path = f"{folder}/{entry.name}" if folder else entry.name
            yield path, entry.stat(follow_symlinks=False)
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)


def differences(manifest: Manifest, tree: Path) -> tuple[str, ...]:
    """Return how a tree is not what its manifest says, a line for each path, sorted.

    Empty for a sealed tree that nobody has touched.  Every file is read.
    """
    found: dict[str, str] = {}
    seen = {manifests.FILE}
    try:
        found[""] = _folder(os.lstat(tree))
        for path, status in walk(tree):
            seen.add(path)
            found[path] = _difference(manifest, tree, path, status)
    except OSError as error:
        found[str(error.filename)] = f"cannot be read: {error.strerror}"
    missing = {*manifest.files, *manifest.links} - seen
    found |= dict.fromkeys(missing, "is missing")
    lines = ((path or str(tree), what) for path, what in sorted(found.items()) if what)
    return tuple(f"{path}: {what}" for path, what in lines)


def _difference(
    manifest: Manifest, tree: Path, path: str, status: os.stat_result
) -> str:
    if stat.S_ISDIR(status.st_mode):
        taken = path in manifest.files or path in manifest.links
        return "is a folder now" if taken else _folder(status)
    if path == manifests.FILE:
        return _mode(status, 0o444)
    if stat.S_ISLNK(status.st_mode):
        return _link(manifest.links.get(path), tree / path)
    if path not in manifest.files:
        return "is not in the manifest"
    if not stat.S_ISREG(status.st_mode):
        return "is no file any more"
    return _file(manifest.files[path], tree / path, status)


def _folder(status: os.stat_result) -> str:
    if not stat.S_ISDIR(status.st_mode):
        return "is no folder any more"
    return _mode(status, manifests.FOLDER_MODE)


def _mode(status: os.stat_result, expected: int) -> str:
    mode = stat.S_IMODE(status.st_mode)
    return "" if mode == expected else f"has mode {mode:o} instead of {expected:o}"


def _link(expected: str | None, path: Path) -> str:
    target = os.readlink(path)  # noqa: PTH115 - its text, and not a path
    if expected is None:
        return f"is not in the manifest, a link to {target}"
    return "" if target == expected else f"leads to {target} instead of {expected}"


def _file(file: File, path: Path, status: os.stat_result) -> str:
    try:
        if status.st_size != file.size or digest(path) != file.sha256:
            return "has been changed"
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return _mode(status, file.mode)
