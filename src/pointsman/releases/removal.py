"""Deleting trees that nobody may write to any more.  Effects."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from pointsman.faults import point

_BLOCK = 512  # bytes that one of st_blocks has (stat(2))


def remove(path: Path) -> int:
    """Delete a folder with all that is in it; return how many bytes became free.

    Half a tree is as good as a whole one, and two processes may delete the same at
    once.  Files that other trees share free nothing.

    Raises:
        OSError: something cannot be deleted.

    """
    freed = clear(path)
    with suppress(FileNotFoundError):
        freed += path.lstat().st_blocks * _BLOCK
        path.rmdir()
    return freed


def clear(folder: Path) -> int:
    """Delete all that is in a folder, and leave the folder; see `remove`."""
    try:
        folder.chmod(0o700)
        with os.scandir(folder) as entries:
            found = list(entries)
    except FileNotFoundError:
        return 0
    freed = 0
    for entry in found:
        if entry.is_dir(follow_symlinks=False):
            freed += remove(Path(entry.path))
        else:
            freed += _remove_file(entry.path)
            point("release.halved")
    return freed


def _remove_file(path: str) -> int:
    try:
        status = os.lstat(path)
        os.unlink(path)  # noqa: PTH108 - called for thousands of files
    except FileNotFoundError:
        return 0
    return status.st_blocks * _BLOCK if status.st_nlink == 1 else 0
