"""The kernel's word that somebody writes to a SQLite file's log.  Effects."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pointsman.inotify import MODIFY, Inotify

if TYPE_CHECKING:
    from pathlib import Path


class LogHints:
    """Readable after a write to the write-ahead log.  One thread.

    It comes *before* the write can be seen: the log is written first, and the index
    in shared memory, of which the kernel says nothing, after it.
    """

    def __init__(self, path: Path) -> None:
        """Watch the folder of the file ``path``.

        Raises:
            OSError: the kernel has no more of these, or the folder is gone.

        """
        self._name = f"{path.name}-wal"
        self._inotify = Inotify()
        try:
            self._inotify.watch(path.parent, MODIFY)
        except OSError:
            self._inotify.close()
            raise
        self.descriptor = self._inotify.descriptor

    def take(self) -> bool:
        """See `interfaces.Hints.take`."""
        return any(e.name == self._name or e.lost for e in self._inotify.read())

    def close(self) -> None:
        """Give the descriptor back."""
        self._inotify.close()
