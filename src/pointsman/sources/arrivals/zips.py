"""Whether the end of a zip is there.  Effects."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path
    from typing import BinaryIO

_END = struct.Struct("<4s4H2LH")  # end of central directory, APPNOTE.TXT 4.3.16
_LONG_END = struct.Struct("<4sQ2H2L4Q")  # the same of ZIP64, 4.3.14
_LOCATOR = struct.Struct("<4sLQL")  # where that is, 4.3.15
_COMMENT = 0xFFFF  # bytes that a comment has at most


def truncated(path: Path) -> bool:
    """Tell whether a zip has begun and its end is not there, or not consistent.

    What is no zip at all is not truncated.

    Raises:
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return False
        size = file.seek(0, os.SEEK_END)
        start = max(0, size - _COMMENT - _END.size)
        file.seek(start)
        tail = file.read()
        at = tail.rfind(b"PK\5\6")
        if at < 0 or len(tail) - at < _END.size:
            return True
        *_, length, offset, comment = _END.unpack_from(tail, at)
        end = start + at
        if end + _END.size + comment != size:
            return True
        if tail[max(0, at - _LOCATOR.size) : at].startswith(b"PK\6\7"):
            length, offset, end = _long(file, end)
        begin = end - length  # ``offset``, and what stands before the zip
        if begin < offset:
            return True
        file.seek(begin)
        return length > 0 and file.read(4) != b"PK\1\2"


def _long(file: BinaryIO, end: int) -> tuple[int, int, int]:
    """Return length, offset and end of a ZIP64 directory; impossible ones if none."""
    nowhere = (0, 1, 0)
    file.seek(end - _LOCATOR.size)
    _, _, at, _ = _LOCATOR.unpack(file.read(_LOCATOR.size))
    if at > end:
        return nowhere
    file.seek(at)
    record = file.read(_LONG_END.size)
    if len(record) < _LONG_END.size or not record.startswith(b"PK\6\6"):
        return nowhere
    *_, length, offset = _LONG_END.unpack(record)
    return length, offset, at
