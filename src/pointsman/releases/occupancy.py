"""Who runs from which tree.  Effects: locks, and reads ``/proc``.

A process that runs from a tree holds a shared flock(2) on its manifest, for life;
whoever removes the tree needs an exclusive one.  The kernel drops a lock with the last
process that has it, however that ends.  Forked children have it, too; programs that are
executed do not, and must ask for themselves.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.releases import manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# Seconds.  Who only asks whether a tree is in use locks it, too, for a moment.
_PATIENCE, _BRIEF, _PAUSE = 5.0, 0.05, 0.002


def own_tree() -> Path | None:
    """Return the sealed tree that this program was started from, if it was from one."""
    for folder in Path(__file__).resolve().parents:
        if folder.parent.name == "releases" and (folder / manifest.FILE).is_file():
            return folder
    return None


def hold(tree: Path) -> int:
    """Keep a tree from being removed while this process lives, or its forks do.

    Returns a descriptor that the caller leaves open; closing it gives the tree free.
    To be called first of all: what is imported later would be gone without it.

    Raises:
        ReleaseError: the tree is no sealed one, or has just been removed.

    """
    path = tree / manifest.FILE
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        message = f"{tree} is no release to run from: {path}: {error.strerror}"
        raise ReleaseError(message) from error
    # It may have been removed between our open and our lock.
    if _locked(descriptor, fcntl.LOCK_SH, _PATIENCE) and is_at(descriptor, path):
        return descriptor
    os.close(descriptor)
    raise ReleaseError(f"{tree} has been removed; start another release")


def _locked(descriptor: int, kind: int, patience: float) -> bool:
    end = time.monotonic() + patience
    while True:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
            return True
        if time.monotonic() > end:
            return False
        time.sleep(_PAUSE)


@contextmanager
def alone(tree: Path) -> Iterator[bool]:
    """Keep processes from beginning to run from a tree; yields False if one does.

    False, too, for a tree without a manifest, of which nobody can know.  Those who
    begin wait: keep it for moments only, or until the tree has another name.
    """
    descriptor = -1
    try:
        descriptor = os.open(tree / manifest.FILE, os.O_RDONLY | os.O_CLOEXEC)
        free = _locked(descriptor, fcntl.LOCK_EX, _BRIEF)
    except OSError:
        free = False
    try:
        yield free
    finally:
        if descriptor >= 0:
            os.close(descriptor)


def is_at(descriptor: int, path: Path) -> bool:
    """Tell whether an open file is the one that has this name now."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def pids(locked: Iterable[Path]) -> dict[Path, tuple[int, ...]]:
    """Return which processes have flocks on which files, as far as we may know.

    Root sees all that are in its namespace, others see their own.
    """
    wanted = {}
    for path in locked:
        with suppress(OSError):
            wanted[_key(path.stat())] = path
    found: dict[Path, list[int]] = {}
    for process in Path("/proc").iterdir() if wanted else ():
        if process.name.isdecimal():
            for path in _locked_by(process, wanted):
                found.setdefault(path, []).append(int(process.name))
    return {path: tuple(sorted(numbers)) for path, numbers in found.items()}


def _locked_by(process: Path, wanted: dict[tuple[int, int], Path]) -> set[Path]:
    """Return which of the files one process has locked; it may end meanwhile."""
    found: set[Path] = set()
    with suppress(OSError):
        for name in os.listdir(process / "fd"):  # noqa: PTH208 - many, and only names
            with suppress(OSError):
                path = wanted.get(_key(os.stat(process / "fd" / name)))  # noqa: PTH116
                if path is not None and _has_flock(process / "fdinfo" / name):
                    found.add(path)
    return found


def _has_flock(information: Path) -> bool:
    return "FLOCK" in information.read_text(encoding="ascii")


def _key(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
