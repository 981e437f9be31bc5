"""What is pushed: from its first byte to the ledger, or nowhere.  Effects."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import logging
import os
import re
import tempfile
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman import archive, faults
from pointsman.cluster import Entry
from pointsman.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pointsman.artifacts import Artifacts
    from pointsman.interfaces import Ledger

_log = logging.getLogger(__name__)

_PIECE = 256 * 1024
_FORGOTTEN = 60.0  # seconds after which a file that nobody holds is somebody's rest
_FILE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+!@ ()-]{0,199}\Z")
_WHEEL = re.compile(rb"([A-Za-z0-9_.]+-[A-Za-z0-9_.!+]+)\.dist-info/WHEEL")
_TAIL = 1024 * 1024  # bytes at the end of a zip in which its directory is looked for


class Uploads:
    """Takes artifacts in: to disk, checked, to the cache, to the ledger.

    Any thread; blocks as long as the bytes take to come.  ``limit`` is in bytes; 0 is
    no limit.
    """

    def __init__(
        self, ledger: Ledger, artifacts: Artifacts, folder: Path, limit: int
    ) -> None:
        """Take the collaborators; the folder is made when it is needed."""
        self._ledger = ledger
        self._artifacts = artifacts
        self._folder = folder
        self._limit = limit
        self._first = threading.Lock()  # held for good by who has swept

    def receive(
        self,
        file: str,
        chunks: Iterable[bytes],
        *,
        package: str = "",
        source: str = "push",
        sha256: bytes | None = None,
    ) -> Entry:
        """Take one artifact; see `deployments.Deployments.receive`."""
        file = _file_name(file)
        if not file and not package:
            raise Refused(400, "Bad Request", "a file needs a name; send it with one")
        with self._temporary() as path:
            digest, size = self._written(path, chunks)
            if sha256 is not None and digest != sha256.hex():
                raise _wrong_digest(sha256, digest)
            file = file or _guessed(path, package)
            found = archive.identify(path, file, package)
            self._artifacts.put(path, digest)
            self._ledger.store(digest, size, _pieces(path))
        faults.point("stored")
        return Entry(
            found.package, digest, found.kind, file, source, found.version, size
        )

    @contextlib.contextmanager
    def _temporary(self) -> Iterator[Path]:
        """Give an empty file, which is gone afterwards."""
        with _told_by_this_disk(self._folder):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            if self._first.acquire(blocking=False):
                self.sweep()
            descriptor, name = tempfile.mkstemp(dir=self._folder)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield Path(name)
        finally:
            with contextlib.suppress(OSError):  # the folder may have vanished
                Path(name).unlink()
            os.close(descriptor)

    def sweep(self) -> None:
        """Take away what killed processes have left; nobody holds a lock on it."""
        for path in self._folder.iterdir():
            with contextlib.suppress(OSError):
                _take_away(path)

    def _written(self, path: Path, chunks: Iterable[bytes]) -> tuple[str, int]:
        total, size = hashlib.sha256(), 0
        with path.open("wb", buffering=0) as file:
            for chunk in chunks:
                size += len(chunk)
                if self._limit and size > self._limit:
                    raise too_large(self._limit)
                total.update(chunk)
                rest = memoryview(chunk)
                with _told_by_this_disk(self._folder):
                    while rest:
                        rest = rest[file.write(rest) :]
        return total.hexdigest(), size


def too_large(limit: int) -> Refused:
    """Return the refusal of what is larger than ``limit`` bytes."""
    detail = (
        f"an artifact may have {limit} bytes; control.max_upload_mb of the ini "
        "says how many"
    )
    return Refused(413, "Content Too Large", detail)


@contextlib.contextmanager
def _told_by_this_disk(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        _log.error("%s: %s", folder, error.strerror or error)
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        reason = "its disk is full" if full else "its work directory is not usable"
        detail = f"this node cannot take the upload: {reason}; see its log"
        raise Refused(507, "Insufficient Storage", detail) from error


def _wrong_digest(wanted: bytes, digest: str) -> Refused:
    detail = (
        f"what came has the SHA-256 digest {digest}, and {wanted.hex()} was announced; "
        "send it again"
    )
    return Refused(400, "Bad Request", detail)


def _file_name(file: str) -> str:
    """Return the last part of a path, of whatever system it is."""
    name = re.split(r"[\\/]", file)[-1]
    if file and not _FILE.match(name):
        detail = (
            f"the file name {name[:80]!a} is not accepted; it may have letters, "
            "digits and _.+!@()- and ends with .py, .sar, .zip or .whl"
        )
        raise Refused(400, "Bad Request", detail)
    return name


def _guessed(path: Path, package: str) -> str:
    """Return the name that a file without one has by its content."""
    with path.open("rb") as file:
        if file.read(4) != b"PK\x03\x04":
            return f"{package}.py"
        file.seek(max(0, path.stat().st_size - _TAIL))
        wheel = _WHEEL.search(file.read(_TAIL))
    if wheel is None:
        return f"{package}.sar"
    return f"{wheel[1].decode('ascii')}-py3-none-any.whl"


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _take_away(path: Path) -> None:
    if time.time() - path.stat().st_mtime < _FORGOTTEN:
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    finally:
        os.close(descriptor)
