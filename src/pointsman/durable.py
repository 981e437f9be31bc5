"""Changes of the file system that survive a power cut, or did not happen.  Effects.

A rename is atomic for whoever looks (rename(2)); that it is still there after a power
cut takes an fsync(2) of the folder, and that it names whole content takes one of the
content before.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

TEMPORARY = ".tmp"  # the end of names that are never read, and may be removed


def folder(path: Path) -> None:
    """Wait until the entries of a folder are on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def everything(path: Path) -> None:
    """Wait until all that was written to the file system of ``path`` is on its disk.

    One syncfs(2) takes as long as one fsync(2) of a journaling file system; a tree of
    5,000 files would take 5,000.

    Raises:
        OSError: something could not be written (Linux 5.8 and later tell).

    """
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(path))
    finally:
        os.close(descriptor)


def replace(
    path: Path, text: str, before: Callable[[], None] = lambda: None, mode: int = 0o644
) -> None:
    """Give the file ``path`` a new content, whole; ``before`` the new one shows, call.

    Raises:
        OSError: the disk is full ...; the old content is still there.

    """
    descriptor, name = tempfile.mkstemp(TEMPORARY, f".{path.name}.", path.parent)
    try:
        with open(descriptor, "w", encoding="utf-8") as file:  # noqa: PTH123 - a descriptor
            file.write(text)
            file.flush()
            os.fchmod(descriptor, mode)
            os.fsync(descriptor)
        before()
        Path(name).rename(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    folder(path.parent)


def link(path: Path, target: str, before: Callable[[], None] = lambda: None) -> None:
    """Let the symbolic link ``path`` lead to ``target``, in one moment."""
    new = path.with_name(f".{path.name}.{os.getpid()}{TEMPORARY}")
    new.unlink(missing_ok=True)
    new.symlink_to(target)
    try:
        before()
        new.rename(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise
    folder(path.parent)


def remove(path: Path) -> None:
    """Remove a file, if it is there."""
    path.unlink(missing_ok=True)
    folder(path.parent)


def tidy(path: Path) -> None:
    """Remove the temporary files that killed processes left in a folder of ours."""
    for left in path.glob(f".*{TEMPORARY}"):
        left.unlink(missing_ok=True)
