"""``extra_paths``: directories on ``sys.path`` for libraries of services.  Effects."""

from __future__ import annotations

import importlib
import site
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.model import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable


class ExtraPaths:
    """Adds directories, with what their ``.pth`` files add.  One thread at a time.

    They come after the host's own entries.  `look` may be called again at any
    time: modules that were not imported yet are then found, without a restart.
    """

    def __init__(self, paths: Iterable[Path]) -> None:
        """Add nothing yet."""
        self._paths = tuple(paths)
        self._added: dict[Path, None] = {}
        self._ours: set[str] = set()  # what was not on the path before

    def all(self) -> tuple[Path, ...]:
        """Return every directory that was added so far, in order."""
        return tuple(self._added)

    def look(self) -> tuple[Problem, ...]:
        """Add what is there; return a problem for each directory that is not."""
        problems = []
        for path in self._paths:
            if not path.is_dir():
                reason = f"{path} is no directory; make it, or take it out"
                problems.append(Problem("extra_paths", reason))
                continue
            before = set(sys.path)
            site.addsitedir(str(path))
            new = [entry for entry in sys.path if entry not in before]
            self._ours.update(new)
            for entry in (path, *map(Path, new)):
                self._added.setdefault(entry)
        if self._paths:
            importlib.invalidate_caches()
        return tuple(problems)

    def close(self) -> None:
        """Take out of ``sys.path`` what this object has added."""
        sys.path[:] = [entry for entry in sys.path if entry not in self._ours]
