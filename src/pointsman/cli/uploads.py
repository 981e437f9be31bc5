"""Files on their way to a host or to the ledger.  Effects."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from io import BufferedReader
    from pathlib import Path

_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that is open for reading; ``package`` is its name where it is given.

    Opened early: whoever reads it may have become another user meanwhile.
    """

    name: str
    file: BufferedReader
    size: int
    package: str = ""

    def chunks(self, told: Callable[[int], None]) -> Iterator[bytes]:
        """Return the bytes from the start; ``told`` hears how many more were read."""
        self.file.seek(0)
        while chunk := self.file.read(_PIECE):
            told(len(chunk))
            yield chunk

    def digest(self) -> bytes:
        """Return the SHA-256 of what is in it now."""
        self.file.seek(0)
        return hashlib.file_digest(self.file, "sha256").digest()


@contextmanager
def opened(paths: Iterable[Path], package: str = "") -> Iterator[list[Upload]]:
    """Open files for as long as the block takes.

    Raises:
        ArtifactError: one cannot be opened.

    """
    with ExitStack() as stack:
        found = []
        for path in paths:
            try:
                file = stack.enter_context(path.open("rb"))
                size = path.stat().st_size
            except OSError as error:
                reason = f"cannot be read: {error.strerror or error}"
                raise ArtifactError(path.stem, str(path), reason) from error
            found.append(Upload(path.name, file, size, package))
        yield found
