"""The digests that a wheel has of its own files.  Effects."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from typing import TYPE_CHECKING

from pointsman.archive.unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.archive.members import Container

_HASHES = ("sha256", "sha384", "sha512")


class Record:
    """What the file ``RECORD`` says.  One thread."""

    def __init__(self, container: Container, info: str) -> None:
        """Read the list.

        Raises:
            Unfit: it is not there, or names other files than there are.

        """
        self._file = f"{info}/RECORD"
        if self._file not in container:
            raise Unfit(f"it has no {self._file}; build the wheel again")
        self._told = dict(self._lines(container.text(self._file)))
        there = {
            name
            for name in container.names
            if name not in (self._file, f"{info}/RECORD.jws", f"{info}/RECORD.p7s")
        }
        for name in sorted(there ^ self._told.keys()):
            what = "is not in it" if name in self._told else "is not listed there"
            raise Unfit(f"{self._file} and the wheel do not agree: {name} {what}")

    def _lines(self, text: str) -> Iterator[tuple[str, tuple[str, bytes]]]:
        try:
            for row in csv.reader(io.StringIO(text), strict=True):
                if row and row[0] != self._file:
                    path, told, *_ = row
                    kind, _, encoded = told.partition("=")
                    if kind not in _HASHES:
                        raise Unfit(f"{self._file} has no SHA-256 of {path}")
                    padded = encoded + "=" * (-len(encoded) % 4)
                    yield path, (kind, base64.urlsafe_b64decode(padded))
        except (csv.Error, ValueError) as error:
            raise Unfit(f"{self._file} cannot be read: {error}") from None

    def check(self, name: str, pieces: Iterator[bytes]) -> Iterator[bytes]:
        """Return the pieces of a file as they are, and compare them.

        Raises:
            Unfit: they are not those that were recorded; behind the last piece.

        """
        if name not in self._told:
            yield from pieces
            return
        kind, digest = self._told[name]
        total = hashlib.new(kind)
        for piece in pieces:
            total.update(piece)
            yield piece
        if total.digest() != digest:
            raise Unfit(
                f"{name} is not the file that {self._file} records; build it again"
            )
