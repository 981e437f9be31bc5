"""What SQLite's errors mean to whoever runs the machine.  Decisions."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pathlib import Path

_LOCKED: Final = (
    "another process has kept it locked for {busy:g} s; look who has it open (fuser "
    "{path}): a backup, a shell or a process that hangs"
)
_FULL: Final = (
    "no space is left on the disk of {path}; free some, nothing was written meanwhile"
)
_DAMAGED: Final = (
    "{path} is damaged ({said}); keep a copy, put a backup in its place, and start "
    "the nodes again"
)
_UNREADABLE: Final = (
    "{path} cannot be opened ({said}); this process needs to read and write it and "
    "its folder"
)
_READ_ONLY: Final = (
    "{path} cannot be written to ({said}); give the user of this process the right "
    "to write it and its folder"
)
_DISK: Final = (
    "the disk of {path} does not read or write it ({said}, {name}); look at it, and "
    "whether it is full"
)

_BY_CODE: Final = {
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
    sqlite3.SQLITE_CANTOPEN: _UNREADABLE,
    sqlite3.SQLITE_PERM: _UNREADABLE,
    sqlite3.SQLITE_AUTH: _UNREADABLE,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_IOERR: _DISK,
}


def is_damage(error: BaseException | None) -> bool:
    """Tell whether the file itself is broken."""
    return _primary(getattr(error, "orig", error)) in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    )


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether somebody else has locked it."""
    return _primary(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def sentence(error: BaseException, path: Path, *, busy: float) -> str:
    """Say what is wrong, on what, and what to do.

    ``busy`` is how many seconds were waited for a lock.
    """
    name = getattr(error, "sqlite_errorname", "")
    text = _BY_CODE.get(_primary(error), "{path}: {said} ({name})")
    said = str(error) or type(error).__name__
    return text.format(
        path=path, said=said, name=name or type(error).__name__, busy=busy
    )


def _primary(error: object) -> int:
    """Return the primary result code; the extended ones have it in their low byte."""
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else 0
