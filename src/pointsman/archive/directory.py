"""The list of files of a zip, checked before any of them is read.  Effects.

APPNOTE.TXT 6.3.10 of PKWARE is the format.  `zipfile` of the standard library takes
what we must refuse: bytes before, between and behind the files, files that share
bytes, two names for one file, and a list as long as memory.
"""

from __future__ import annotations

import os
import re
import stat
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pointsman.archive.unfit import NoArtifact, Unfit

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import BinaryIO

    from pointsman.archive.unfit import Limits

#: The first bytes of a zip with a file in it; and of one without.
FIRST: Final = b"PK\x03\x04"
EMPTY: Final = b"PK\x05\x06"

_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_LOCATOR = struct.Struct("<4sLQL")  # of the end of a ZIP64 archive
_LOCATOR_SIGNATURE = b"PK\x06\x07"
_END64 = struct.Struct("<4sQ2H2L4Q")
_END64_SIGNATURE = b"PK\x06\x06"
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_CENTRAL_SIGNATURE = b"PK\x01\x02"
_LOCAL = struct.Struct("<4s5H3L2H")
_DESCRIPTOR_SIGNATURE = b"PK\x07\x08"

_ENCRYPTED = 0x0001 | 0x0040 | 0x2000
_SIZES_FOLLOW = 0x0008
_PATCH = 0x0020
_UTF8 = 0x0800
_METHODS = (0, 8)  # stored, deflated
_LATER = 0xFFFFFFFF  # a size that only ZIP64 can tell
_LONGEST_COMMENT = 65_535
# ``git archive`` writes the commit into the comment; nothing can hide in that.
_COMMENT = re.compile(rb"[0-9A-Za-z ._-]{0,64}\Z")


@dataclass(frozen=True, slots=True)
class Member:
    """One file or folder of a zip, as both of its headers say.

    ``start`` is where its bytes begin in the file; ``packed`` and ``size`` are how
    many there are, and how many they claim to unpack to.
    """

    name: str
    method: int
    checksum: int  # CRC-32
    packed: int
    size: int
    start: int

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder."""
        return self.name.endswith("/")


@dataclass(frozen=True, slots=True)
class _Header:
    """What the central directory says of a member."""

    raw: bytes  # the name
    name: str
    flags: int
    method: int
    checksum: int
    packed: int
    size: int
    offset: int


@dataclass(frozen=True, slots=True)
class _End:
    entries: int
    size: int
    offset: int
    position: int  # where the directory must end


def read_directory(stream: BinaryIO, limits: Limits) -> tuple[Member, ...]:
    """Return what is in a zip, in the order of its bytes.

    Raises:
        NoArtifact: it is no zip.
        Unfit: it is one that must not be opened.

    """
    end = _end(stream, limits)
    stream.seek(end.offset)
    listed = list(_headers(stream.read(end.size), end.entries))
    listed.sort(key=lambda header: header.offset)
    return tuple(_placed(stream, listed, end.offset))


def _end(stream: BinaryIO, limits: Limits) -> _End:
    length = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, length - _END.size - _LONGEST_COMMENT))
    tail = stream.read()
    found = tail.rfind(_END_SIGNATURE)
    if found < 0 or len(tail) - found < _END.size:
        raise Unfit(
            "its list of files is missing: the file was cut off, or is still being "
            "copied; send it again"
        )
    position = length - len(tail) + found
    fields = _END.unpack_from(tail, found)
    _, disk, first_disk, here, entries, size, offset, comment = fields
    _refuse_rest(tail[found + _END.size :], comment)
    entries64 = _entries64(stream, position)
    if max(entries, entries64 or 0) > limits.entries:
        raise _too_many(max(entries, entries64 or 0), limits)
    if entries64 is not None or _LATER in (size, offset):
        raise Unfit("it is a ZIP64 archive, which nothing of this size needs to be")
    if disk or first_disk or here != entries:
        raise Unfit("it is one part of several; pack it into one file")
    if size > limits.directory:
        raise Unfit(f"its list of files is longer than {limits.directory} bytes")
    if offset + size != position:
        count = position - size - offset
        if count > 0:
            raise _before(count)
        raise Unfit("its list of files is not where it says; pack it again")
    return _End(entries, size, offset, position)


def _refuse_rest(rest: bytes, comment: int) -> None:
    if len(rest) < comment:
        raise Unfit("it is cut off in its last bytes; send it again")
    if len(rest) > comment or not _COMMENT.match(rest):
        raise Unfit(
            f"{len(rest)} bytes stand behind its end, which may be anything; pack it "
            "again, without a comment and with nothing appended"
        )


def _entries64(stream: BinaryIO, position: int) -> int | None:
    """Return how many members a ZIP64 archive says it has; None if it is none."""
    if position < _LOCATOR.size:
        return None
    stream.seek(position - _LOCATOR.size)
    signature, _, where, _ = _LOCATOR.unpack(stream.read(_LOCATOR.size))
    if signature != _LOCATOR_SIGNATURE:
        return None
    if where > position:
        return 0
    stream.seek(where)
    record = stream.read(_END64.size)
    if len(record) < _END64.size or not record.startswith(_END64_SIGNATURE):
        return 0
    entries: int = _END64.unpack(record)[7]
    return entries


def _headers(directory: bytes, entries: int) -> Iterator[_Header]:
    position = 0
    for _ in range(entries):
        if not directory.startswith(_CENTRAL_SIGNATURE, position):
            raise _torn()
        if len(directory) - position < _CENTRAL.size:
            raise _torn()
        fields = _CENTRAL.unpack_from(directory, position)
        name_length, extra, comment, disk = fields[10:14]
        start = position + _CENTRAL.size
        raw = directory[start : start + name_length]
        position = start + name_length + extra + comment
        if position > len(directory):
            raise _torn()
        if disk:
            raise Unfit("it is one part of several; pack it into one file")
        yield _header(raw, fields)
    if position != len(directory):
        raise Unfit(
            f"its list of files has more than the {entries} that it says; pack it again"
        )


def _header(raw: bytes, fields: Sequence[int]) -> _Header:
    flags, method, checksum, packed, size = fields[3], fields[4], *fields[7:10]
    name = _decoded(raw, flags)
    if flags & _ENCRYPTED:
        raise Unfit(f"{name!r} is encrypted; pack it without a password")
    if method not in _METHODS or flags & _PATCH:
        raise Unfit(
            f"{name!r} is packed by method {method}; pack it with the ordinary one, "
            "deflate"
        )
    if _LATER in (packed, size, fields[16]):
        raise Unfit("it is a ZIP64 archive, which nothing of this size needs to be")
    _refuse_special(name, fields[15] >> 16)
    if name.endswith("/") and size:
        raise Unfit(f"{name!r} is a folder with bytes of its own; pack it again")
    return _Header(raw, name, flags, method, checksum, packed, size, fields[16])


def _decoded(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        raise Unfit(
            f"the name {raw[:80]!r} is not marked as UTF-8, so it can be read in "
            "several ways; pack it again with UTF-8 names"
        ) from None


def _refuse_special(name: str, mode: int) -> None:
    """Refuse what is neither file nor folder; ``mode`` is 0 where none is told."""
    kind = stat.S_IFMT(mode)
    if kind == stat.S_IFLNK:
        raise Unfit(f"{name!r} is a link; pack the file that it leads to")
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        raise Unfit(f"{name!r} is a device, a pipe or a socket; leave it out")


def _placed(stream: BinaryIO, headers: Sequence[_Header], end: int) -> Iterator[Member]:
    """Return the members, one behind the other from the first byte to ``end``."""
    expected = 0
    ends = [*(header.offset for header in headers), end][1:]
    for header, following in zip(headers, ends, strict=True):
        if header.offset > expected:
            raise _before(header.offset - expected)
        start = _start(stream, header)
        behind = start + header.packed
        if header.flags & _SIZES_FOLLOW:
            behind += _descriptor(stream, header, behind, following)
        if behind > following:
            raise Unfit(
                f"{header.name!r} shares its bytes with what comes behind it; this is "
                "how small archives unpack to gigabytes"
            )
        expected = behind
        yield Member(
            header.name,
            header.method,
            header.checksum,
            header.packed,
            header.size,
            start,
        )
    if expected != end:
        raise _before(end - expected)


def _start(stream: BinaryIO, header: _Header) -> int:
    stream.seek(header.offset)
    record = stream.read(_LOCAL.size)
    if len(record) < _LOCAL.size or not record.startswith(FIRST):
        raise Unfit(f"{header.name!r} is not where the list of files says")
    _, _, flags, method, _, _, *told, name_length, extra = _LOCAL.unpack(record)
    raw = stream.read(name_length)
    same = raw == header.raw and method == header.method
    if not header.flags & _SIZES_FOLLOW:
        same = same and told == [header.checksum, header.packed, header.size]
    if not same or flags & _ENCRYPTED or (flags ^ header.flags) & _SIZES_FOLLOW:
        raise Unfit(
            f"{header.name!r} says something else of itself than the list of files "
            "does; pack it again"
        )
    length: int = _LOCAL.size + name_length + extra
    return header.offset + length


def _descriptor(
    stream: BinaryIO, header: _Header, position: int, following: int
) -> int:
    """Return how long the record behind a member is, which repeats its sizes."""
    stream.seek(position)
    record = stream.read(max(0, min(24, following - position)))
    for mark in (_DESCRIPTOR_SIGNATURE, b""):
        for sizes in ("<LLL", "<LQQ"):
            values = header.checksum, header.packed, header.size
            if record == mark + struct.pack(sizes, *values):
                return len(record)
    return 0


def _before(count: int) -> Unfit:
    return Unfit(
        f"{count} bytes of it belong to none of its files, so it may be something "
        "else as well; pack it again, with nothing before or between the files"
    )


def _torn() -> Unfit:
    return Unfit("its list of files is damaged; send or pack it again")


def _too_many(entries: int, limits: Limits) -> Unfit:
    return Unfit(
        f"it has {entries} files, and may have {limits.entries}; keep data outside, "
        "and give its path as a setting"
    )


def looks_like_zip(start: bytes) -> bool:
    """Tell whether a file that begins so wants to be a zip."""
    return start.startswith((FIRST, EMPTY))


def require_zip(start: bytes, file: str) -> None:
    """Refuse a file that is called like a zip, and is none.

    Raises:
        NoArtifact: it is none.

    """
    if not looks_like_zip(start):
        raise NoArtifact(f"{file} is called like an archive, and is no zip file")
