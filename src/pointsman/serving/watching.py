"""Which files a process runs from, and whether they changed.

Effects: reads ``sys.modules`` and the file system.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    Fingerprint = tuple[int, int, int] | None


def imported() -> set[str]:
    """Return the files of the modules that this process has imported.

    Modules of services are left out: pointsman reloads those itself, in the running
    process.  They are known by the class of the stand-in in ``sys.modules``, which is
    one of ours.
    """
    found = set()
    for module in list(sys.modules.values()):
        if type(module).__module__.startswith("pointsman."):
            continue
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and not file.startswith("<"):
            found.add(file)
    return found


def of_error(error: BaseException | None) -> set[str]:
    """Return the files that an error, its causes and contexts went through."""
    found: set[str] = set()
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        found.update(frame.filename for frame in frames)
        if isinstance(error, SyntaxError) and error.filename:
            found.add(error.filename)
        error = error.__cause__ or error.__context__
    return {file for file in found if not file.startswith("<")}


class Watch:
    """Compares files with what they were; one thread."""

    def __init__(self, files: Iterable[str] = ()) -> None:
        self._known: dict[str, Fingerprint] = {}
        self.add(files)

    def add(self, files: Iterable[str]) -> None:
        """Watch more files, from now on."""
        for file in files:
            if file not in self._known:
                self._known[file] = _fingerprint(file)

    def changed(self) -> list[str]:
        """Return the files that changed since the last call, and note their state."""
        found = []
        for file, former in self._known.items():
            now = _fingerprint(file)
            if now != former:
                self._known[file] = now
                found.append(file)
        return found


def _fingerprint(file: str) -> Fingerprint:
    """Return what changes with the file; None while there is none."""
    try:
        stat = Path(file).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
