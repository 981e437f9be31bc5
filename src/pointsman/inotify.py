"""The kernel's word that something in a directory changed.  Effects.

inotify(7), by way of the C library.  Its one descriptor can be waited for beside
others, so that a thread sleeps in the kernel until something happens: nothing is
polled, and nothing happens late.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

MODIFY = 0x0002
CLOSE_WRITE = 0x0008
MOVED_TO = 0x0080
_ATTRIB = 0x0004
_MOVED_FROM = 0x0040
_CREATE = 0x0100
_DELETE = 0x0200
_DELETE_SELF = 0x0400
_MOVE_SELF = 0x0800
_UNMOUNT = 0x2000
_OVERFLOW = 0x4000
_IGNORED = 0x8000
_ONLY_DIRECTORIES = 0x01000000

_ASKED = (
    CLOSE_WRITE
    | MOVED_TO
    | _ATTRIB
    | _MOVED_FROM
    | _CREATE
    | _DELETE
    | _DELETE_SELF
    | _MOVE_SELF
    | _ONLY_DIRECTORIES
)
_HEAD = struct.Struct("iIII")
_BUFFER = 64 * 1024


@dataclass(frozen=True, slots=True)
class Event:
    """Something happened in the directory watched as ``watch``.

    ``watch`` is -1 when the kernel had to drop events: then anything may have
    happened anywhere.  ``name`` is empty when it happened to the directory.
    """

    watch: int
    mask: int
    name: str

    @property
    def whole(self) -> bool:
        """Tell whether a file was closed after writing, or moved in."""
        return bool(self.mask & (CLOSE_WRITE | MOVED_TO))

    @property
    def ends(self) -> bool:
        """Tell whether the directory is not watched any more, or elsewhere now."""
        return bool(self.mask & (_DELETE_SELF | _MOVE_SELF | _UNMOUNT | _IGNORED))

    @property
    def lost(self) -> bool:
        """Tell whether events were dropped."""
        return bool(self.mask & _OVERFLOW)


class Inotify:
    """One inotify descriptor.  One thread."""

    def __init__(self) -> None:
        """Open it.

        Raises:
            OSError: this system has none, or no more of them.

        """
        self._library = ctypes.CDLL(None, use_errno=True)
        try:
            descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except AttributeError:
            raise OSError("this system has no inotify") from None
        self.descriptor: int = _checked(descriptor)

    def watch(self, folder: Path, asked: int = _ASKED) -> int:
        """Watch a directory; return the number that its events carry.

        ``asked`` are the kinds of events; by default, all that can mean that files
        are there, whole, or gone.

        Raises:
            OSError: it is not there, or no more can be watched.

        """
        found = self._library.inotify_add_watch(
            self.descriptor, os.fsencode(folder), ctypes.c_uint32(asked)
        )
        return _checked(found)

    def forget(self, watch: int) -> None:
        """Stop watching a directory; nothing happens if it is gone."""
        self._library.inotify_rm_watch(self.descriptor, watch)

    def read(self) -> list[Event]:
        """Return what happened since the last call; never blocks."""
        found: list[Event] = []
        with contextlib.suppress(BlockingIOError):
            data = os.read(self.descriptor, _BUFFER)
            at = 0
            while at < len(data):
                watch, mask, _, length = _HEAD.unpack_from(data, at)
                at += _HEAD.size
                name = os.fsdecode(data[at : at + length].rstrip(b"\0"))
                found.append(Event(watch, mask, name))
                at += length
        return found

    def close(self) -> None:
        """Give the descriptor back."""
        os.close(self.descriptor)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
