"""The bytes of the files of a zip, counted while they are unpacked.  Effects."""

from __future__ import annotations

import os
import zlib
from typing import TYPE_CHECKING

from pointsman.archive.directory import read_directory
from pointsman.archive.names import check_names
from pointsman.archive.unfit import LIMITS, Unfit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from pointsman.archive.directory import Member
    from pointsman.archive.unfit import Limits

_PIECE = 64 * 1024


class Container:
    """A zip whose list of files was checked.  One thread; the stream stays open.

    What headers say of sizes is only ever used to refuse: bytes are counted as they
    come out.  All that is unpacked through one object counts together.
    """

    def __init__(self, stream: BinaryIO, limits: Limits = LIMITS) -> None:
        """Read and check the list of files.

        Raises:
            Unfit: it must not be opened.

        """
        members = read_directory(stream, limits)
        check_names([member.name for member in members])
        self._stream = stream
        self._limits = limits
        self._files = {m.name: m for m in members if not m.is_folder}
        self._most = self._allowance()
        self._unpacked = 0
        if sum(member.size for member in members) > self._most:
            raise self._too_much()

    def _allowance(self) -> int:
        size = self._stream.seek(0, os.SEEK_END)
        most = self._limits.slack + size * self._limits.ratio
        return min(most, self._limits.total)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the paths of all files, sorted."""
        return tuple(sorted(self._files))

    def __contains__(self, name: str) -> bool:
        return name in self._files

    def text(self, name: str) -> str:
        """Return a file that describes the others.

        Raises:
            Unfit: it is too large, damaged, or not UTF-8.

        """
        if self._files[name].size > self._limits.told:
            raise Unfit(f"{name} is larger than {self._limits.told} bytes")
        content = self.read(name)
        try:
            return content.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise Unfit(
                f"{name} is not UTF-8 text (byte {error.start}); save it as UTF-8"
            ) from None

    def read(self, name: str) -> bytes:
        """Return the bytes of a file.

        Raises:
            Unfit: it is damaged, or everything together is too large.

        """
        return b"".join(self.pieces(name))

    def pieces(self, name: str) -> Iterator[bytes]:
        """Return the bytes of a file, a piece at a time.

        Raises:
            Unfit: it is damaged, or everything together is too large; when the
                last piece was taken, at the latest.

        """
        member = self._files[name]
        checksum = size = 0
        for piece in self._unpack(member):
            size += len(piece)
            self._unpacked += len(piece)
            if self._unpacked > self._most:
                raise self._too_much()
            if size > member.size:
                raise Unfit(f"{name} unpacks to more than its {member.size} bytes")
            checksum = zlib.crc32(piece, checksum)
            yield piece
        if size != member.size or checksum != member.checksum:
            raise Unfit(
                f"{name} is damaged: its checksum (CRC-32) or size is wrong; pack or "
                "send it again"
            )

    def _unpack(self, member: Member) -> Iterator[bytes]:
        if not member.method:
            yield from self._packed(member)
            return
        engine, taken = zlib.decompressobj(-zlib.MAX_WBITS), 0
        try:
            for packed in self._packed(member):
                if engine.eof:
                    break
                rest = packed
                while rest and not engine.eof:
                    yield engine.decompress(rest, _PIECE)
                    rest = engine.unconsumed_tail
                taken += len(packed)
            while not engine.eof and (last := engine.decompress(b"", _PIECE)):
                yield last
        except zlib.error as error:
            raise Unfit(f"{member.name} is damaged: {error}") from None
        if not engine.eof or engine.unused_data or taken != member.packed:
            raise Unfit(f"{member.name} is damaged: its packed bytes do not end well")

    def _packed(self, member: Member) -> Iterator[bytes]:
        position, end = member.start, member.start + member.packed
        while position < end:
            self._stream.seek(position)  # somebody else may have read meanwhile
            piece = self._stream.read(min(_PIECE, end - position))
            if not piece:
                raise Unfit("it became shorter while it was read; send it again")
            position += len(piece)
            yield piece

    def _too_much(self) -> Unfit:
        return Unfit(
            f"it unpacks to more than {self._most} bytes, the most that a file of its "
            "size may; keep data outside, and give its path as a setting"
        )
