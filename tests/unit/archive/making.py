"""Zips as nobody should make them, archives and wheels as people do."""

from __future__ import annotations

import base64
import hashlib
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MANIFEST = "[package]\nname = crm\nversion = 1.2.0\n"
FILE = 0o100644


@dataclass
class Part:
    """One member of a zip, and what its headers say of it, true or not."""

    name: str | bytes
    content: bytes = b""
    method: int = zlib.DEFLATED
    flags: int = 0
    mode: int = FILE
    checksum: int | None = None
    size: int | None = None
    local_name: bytes | None = None
    local_size: int | None = None
    packed: bytes | None = None
    descriptor: bytes = b""
    offset: int | None = None  # where the list says it begins
    disk: int = 0

    @property
    def raw(self) -> bytes:
        """Return the name as it is written."""
        return self.name.encode() if isinstance(self.name, str) else self.name


@dataclass
class Zip:
    """A zip, made byte by byte; every lie is a field."""

    parts: list[Part]
    before: bytes = b""
    gap: bytes = b""  # behind the last member
    behind: bytes = b""
    comment: bytes = b""
    entries: int | None = None
    shift: int = 0  # added to every offset
    locator: bytes = b""
    listed: bytes = b""  # in the list, behind its last entry
    disk: int = 0
    _directory: bytes = field(default=b"", init=False)

    def made(self) -> bytes:
        """Return the file."""
        out, self._directory = bytearray(self.before), b""
        for part in self.parts:
            offset = len(out) if part.offset is None else part.offset
            if part.offset is None:
                out += self._member(part)
            self._list(part, offset + self.shift)
        out += self.gap
        self._directory += self.listed
        start = len(out) + self.shift
        entries = len(self.parts) if self.entries is None else self.entries
        end = struct.pack(
            "<4s4H2LH",
            *(b"PK\x05\x06", self.disk, 0, entries, entries),
            *(len(self._directory), start, len(self.comment)),
        )
        return (
            bytes(out)
            + self._directory
            + self.locator
            + end
            + self.comment
            + (self.behind)
        )

    @staticmethod
    def _packed(part: Part) -> bytes:
        if part.packed is not None:
            return part.packed
        if part.method != zlib.DEFLATED:
            return part.content
        engine = zlib.compressobj(9, zlib.DEFLATED, -15)
        return engine.compress(part.content) + engine.flush()

    def _fields(self, part: Part, size: int | None) -> tuple[int, int, int]:
        checksum = zlib.crc32(part.content) if part.checksum is None else part.checksum
        return (
            checksum,
            len(self._packed(part)),
            (len(part.content) if size is None else size),
        )

    def _member(self, part: Part) -> bytes:
        name = part.raw if part.local_name is None else part.local_name
        size = part.size if part.local_size is None else part.local_size
        fields = (0, 0, 0) if part.flags & 8 else self._fields(part, size)
        header = struct.pack(
            "<4s5H3L2H",
            *(b"PK\x03\x04", 20, part.flags, part.method, 0, 33),
            *(*fields, len(name), 0),
        )
        return header + name + self._packed(part) + part.descriptor

    def _list(self, part: Part, offset: int) -> None:
        self._directory += (
            struct.pack(
                "<4s6H3L5H2L",
                *(b"PK\x01\x02", 0x031E, 20, part.flags, part.method, 0, 33),
                *(*self._fields(part, part.size), len(part.raw), 0, 0, part.disk, 0),
                *(part.mode << 16, offset),
            )
            + part.raw
        )


def archive(files: Mapping[str, str | bytes], manifest: str = MANIFEST) -> bytes:
    """Return an archive, made by the standard library."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in {"service.ini": manifest, **files}.items():
            made.writestr(name, content)
    return out.getvalue()


def wheel(
    files: Mapping[str, str],
    *,
    name: str = "crm-web",
    metadata: str = "",
    pure: str = "true",
    tag: str = "py3-none-any",
    entry_points: str = "",
    record: Mapping[str, str] | None = None,
) -> bytes:
    """Return a wheel of version 1.0; ``record`` replaces lines of its RECORD."""
    info = f"{name.replace('-', '_')}-1.0.dist-info"
    told = {
        **files,
        f"{info}/METADATA": (
            f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n{metadata}\nText\n"
        ),
        f"{info}/WHEEL": (
            f"Wheel-Version: 1.0\nGenerator: me\nRoot-Is-Purelib: {pure}\nTag: {tag}\n"
        ),
    }
    if entry_points:
        told[f"{info}/entry_points.txt"] = entry_points
    lines = {path: _record(path, content) for path, content in told.items()}
    lines[f"{info}/RECORD"] = f"{info}/RECORD,,"
    lines.update(record or {})
    told[f"{info}/RECORD"] = "".join(f"{one}\n" for one in lines.values() if one)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for path, content in told.items():
            made.writestr(path, content)
    return out.getvalue()


def _record(path: str, content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    encoded = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    return f"{path},sha256={encoded},{len(content.encode())}"
