"""This machine's copies of the ledger's artifacts, by digest.  Effects.

The ledger has them all; what lies here only saves the way.  So nothing here is
believed: each read compares the digest, and whatever is missing, cut or changed is
fetched again.  The folder may be shared by all processes of the machine, and may
vanish at any time.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import logging
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman import archive, durable
from pointsman.errors import LedgerError, ReleaseError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from io import BufferedReader
    from typing import BinaryIO

    from pointsman.cluster import Entry
    from pointsman.interfaces import Ledger
    from pointsman.model import Package

_log = logging.getLogger(__name__)

_PIECE = 256 * 1024
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")
#: How long a file stays that nobody needs: somebody may be about to propose it.
YOUNG = 3600.0


class Artifacts:
    """A folder of artifacts, filled from the ledger.  Any thread; blocks on both."""

    def __init__(
        self, ledger: Ledger, folder: Path, *, clock: Callable[[], float] = time.time
    ) -> None:
        """Take the folder; it is made when it is needed."""
        self._ledger = ledger
        self._folder = folder
        self._clock = clock

    def put(self, path: Path, digest: str) -> None:
        """Take in a file that has this digest; ``path`` may vanish afterwards.

        A file that nobody else can read is taken for one of ours, which nobody
        changes, and is linked; others are copied.

        Raises:
            ReleaseError: this machine does not take it.

        """
        target = self._place(digest)
        with _told_by_this_machine(self._folder):
            self._make_folder()
            with path.open("rb") as source, self._new() as (name, file):
                if _is_private(source):
                    os.fsync(source.fileno())
                    Path(name).unlink()
                    if not _linked(path, name):
                        _copy(source, name)
                else:
                    shutil.copyfileobj(source, file, _PIECE)
                    _written(file)
                Path(name).replace(target)
            durable.folder(self._folder)

    def package(self, entry: Entry) -> Package:
        """Return the package of an entry; its bytes are those of its digest.

        Raises:
            ArtifactError: it cannot be used on this host.
            LedgerError: it is not here, and the ledger cannot be read.
            ReleaseError: this machine does not take it.

        """
        with self._verified(entry.digest) as stream:
            return archive.open_stream(stream, entry)

    def path(self, digest: str) -> Path:
        """Return a file with the bytes of a digest; it is compared now.

        Raises:
            LedgerError: it is not here, and the ledger cannot be read.
            ReleaseError: this machine does not take it.

        """
        with self._verified(digest):
            return self._place(digest)

    def sweep(self, keep: Collection[str]) -> None:
        """Take away what is older than an hour and not of a digest in ``keep``."""
        wanted = frozenset(keep)
        with contextlib.suppress(FileNotFoundError):
            for path in self._folder.iterdir():
                if path.name not in wanted:
                    with contextlib.suppress(OSError):
                        if self._clock() - path.stat().st_mtime > YOUNG:
                            path.unlink()

    # READING

    @contextlib.contextmanager
    def _verified(self, digest: str) -> Iterator[BinaryIO]:
        """Give an open file whose bytes were compared just now."""
        with self._here(digest) or self._fetch(digest) as stream:
            yield stream

    def _here(self, digest: str) -> BufferedReader | None:
        path = self._place(digest)
        try:
            stream = path.open("rb")
            if _digest(stream) == digest:
                return stream
            stream.close()
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.warning("%s: %s; it is fetched again", path, error.strerror)
            return None
        _log.warning("%s is damaged; it is fetched again", path)
        return None

    def _fetch(self, digest: str) -> BinaryIO:
        """Return the file that was written, also if somebody takes it away."""
        pieces = self._ledger.chunks(digest)
        with _told_by_this_machine(self._folder):
            self._make_folder()
            with self._new() as (name, file):
                total = hashlib.sha256()
                for piece in pieces:
                    total.update(piece)
                    file.write(piece)
                if total.hexdigest() != digest:
                    reason = f"the artifact {digest} is damaged in it"
                    raise LedgerError(self._ledger.url, reason)
                _written(file)
                Path(name).replace(self._place(digest))
                durable.folder(self._folder)
                stream = open(os.dup(file.fileno()), "rb")  # noqa: PTH123, SIM115
        stream.seek(0)
        return stream

    # WRITING

    def _place(self, digest: str) -> Path:
        if not _DIGEST.match(digest):
            message = f"{digest!r} is no SHA-256 digest"
            raise ValueError(message)
        return self._folder / digest

    def _make_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    @contextlib.contextmanager
    def _new(self) -> Iterator[tuple[str, BinaryIO]]:
        """Give an empty file of mode 0600, which is gone unless it was renamed."""
        descriptor, name = tempfile.mkstemp(dir=self._folder, prefix=".")
        try:
            with open(descriptor, "w+b") as file:  # noqa: PTH123 - it is open already
                yield name, file
        finally:
            with contextlib.suppress(OSError):
                Path(name).unlink()


def _is_private(file: BinaryIO) -> bool:
    found = os.fstat(file.fileno())
    return found.st_uid == os.geteuid() and stat.S_IMODE(found.st_mode) == 0o600  # noqa: PLR2004


def _linked(path: Path, name: str) -> bool:
    try:
        os.link(path, name)
    except OSError:  # another file system, or one without links
        return False
    return True


def _copy(source: BinaryIO, name: str) -> None:
    descriptor = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - it is open already
        shutil.copyfileobj(source, file, _PIECE)
        _written(file)


def _written(file: BinaryIO) -> None:
    file.flush()
    os.fsync(file.fileno())


def _digest(stream: BufferedReader) -> str:
    return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def _told_by_this_machine(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "its disk is full" if full else error.strerror or str(error)
        message = (
            f"{folder} does not take an artifact: {reason}; give work_dir room and "
            "rights"
        )
        raise ReleaseError(message) from error
