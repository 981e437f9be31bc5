"""Trees that are being built, and what dead builders left.  Effects.

A builder holds an exclusive flock(2) on its folder while it lives.  ::

    builder                          somebody who tidies up
    makes the folder
                                     sees it, locks it, removes it
    locks it: it has no name now,
    so it makes another one
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pointsman.errors import ReleaseError
from pointsman.releases import removal
from pointsman.releases.occupancy import is_at, pids

if TYPE_CHECKING:
    from pointsman.releases.layout import Release, Root

SUFFIX: Final = ".part"


def begin(root: Root, release: Release) -> tuple[Path, int]:
    """Make a folder for a new tree; return it, and the descriptor that keeps it.

    Raises:
        ReleaseError: another process builds that release (with its pid).
        OSError: the folder cannot be made.

    """
    prefix = f".{release}."
    for other in root.releases.glob(f"{prefix}*{SUFFIX}"):
        if not _free(other):
            raise ReleaseError(
                f"{release} is being built already{_by(other)}; wait for its end"
            )
    while True:
        path = Path(tempfile.mkdtemp(SUFFIX, prefix, root.releases))
        descriptor = _locked(path)
        if descriptor is not None:
            path.chmod(0o755)
            return path, descriptor


def tidy(root: Root) -> tuple[str, ...]:
    """Remove the folders whose builders are dead; tell which.

    Raises:
        OSError: something cannot be deleted.

    """
    dead = [path for path in root.releases.glob(f".*{SUFFIX}") if _free(path)]
    for path in dead:
        removal.remove(path)
    return tuple(f"what a killed build left is removed: {path.name}" for path in dead)


def _free(path: Path) -> bool:
    """Tell whether nobody builds there; the lock is not kept."""
    descriptor = _locked(path)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def _locked(path: Path) -> int | None:
    """Lock a folder; None when somebody has it, or it is gone."""
    with suppress(FileNotFoundError):
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_at(descriptor, path):
                return descriptor
        os.close(descriptor)
    return None


def _by(path: Path) -> str:
    found = pids([path]).get(path, ())
    return f" by pid {found[0]}" if found else ""
