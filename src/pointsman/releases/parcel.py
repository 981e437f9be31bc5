"""What is in an sdist or a wheel, without unpacking it.  Effects.

Only the standard library: setup.py imports this before anything is installed.
"""

from __future__ import annotations

import email
import hashlib
import os
import re
import shutil
import tarfile
import zipfile
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.releases.checkout import Entry, digest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

# What setuptools writes into an sdist itself, and the libraries that an archive may
# carry, so that it builds without network: those that the project pins.
_OF_SDIST = re.compile(
    r"(PKG-INFO|setup\.cfg)\Z|(.*/)?[^/]+\.egg-info/|wheels/[^/]+\.whl\Z"
)
# ... and what a wheel has beside the modules: metadata, scripts with another first
# line, compiled modules.
_OF_WHEEL = re.compile(r"[^/]+\.dist-info/|[^/]+\.data/scripts/|.+\.(so|pyd)\Z")


@dataclass(frozen=True, slots=True)
class Parcel:
    """One archive of a project: which version, and all files by their paths."""

    path: Path
    sha256: str
    name: str
    version: str
    files: Mapping[str, Entry]
    #: Which of the files come from the project, and not from the tool that packed.
    own: Mapping[str, Entry]

    @property
    def digest(self) -> str:
        """Two archives of the same files have the same, whenever they were packed."""
        return digest(self.files)


def read(path: Path) -> Parcel:
    """Read all of an archive.  Blocks.

    Raises:
        ReleaseError: it is neither an sdist nor a wheel, or is damaged.

    """
    try:
        if path.name.endswith(".tar.gz"):
            return _sdist(path)
        if path.name.endswith(".whl"):
            return _wheel(path)
    except (OSError, EOFError, ValueError, tarfile.TarError, zipfile.BadZipFile) as e:
        raise ReleaseError(f"{path} cannot be read: {e}; build it again") from e
    raise ReleaseError(f"{path} is neither an sdist (.tar.gz) nor a wheel (.whl)")


def unpack(path: Path, folder: Path) -> None:
    """Unpack an sdist: files and folders, below ``folder``, and nothing else.  Blocks.

    What tarfile calls the filter "data" (PEP 706) allows links, and is not there in the
    Python 3.11.2 of Debian 12.

    Raises:
        ReleaseError: it has something else, is damaged, or the disk is full ...

    """
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                _put(archive, member, path, folder)
    except (OSError, EOFError, tarfile.TarError) as error:
        raise ReleaseError(f"{path} cannot be unpacked: {error}") from error


def _put(
    archive: tarfile.TarFile, member: tarfile.TarInfo, path: Path, folder: Path
) -> None:
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise ReleaseError(f"{path} has {member.name}, which leads out of it")
    target = folder / name
    if member.isdir():
        target.mkdir(parents=True, exist_ok=True)
    elif (content := archive.extractfile(member) if member.isfile() else None) is None:
        raise ReleaseError(f"{path} has {member.name}, neither a file nor a folder")
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        with content, target.open("xb") as file:
            shutil.copyfileobj(content, file)
        target.chmod(0o755 if member.mode & 0o100 else 0o644)


def _sdist(path: Path) -> Parcel:
    files: dict[str, Entry] = {}
    texts: dict[str, bytes] = {}
    with tarfile.open(path) as archive:
        for member in archive:
            _, _, name = member.name.partition("/")
            file = archive.extractfile(member) if member.isfile() else None
            if file is not None:
                files[name] = _entry(file, member.mode, name, texts)
            elif not member.isdir():  # a link is what it says, as for a checkout
                said = os.fsencode(member.linkname)
                files[name] = Entry(hashlib.sha256(said).hexdigest())
    return _parcel(path, files, texts.get("PKG-INFO", b""), _OF_SDIST.match)


def _wheel(path: Path) -> Parcel:
    files: dict[str, Entry] = {}
    texts: dict[str, bytes] = {}
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                mode = member.external_attr >> 16
                with archive.open(member) as file:
                    name = member.filename
                    files[name] = _entry(file, mode, name, texts)
    metadata = (text for name, text in texts.items() if name.endswith("METADATA"))
    return _parcel(path, files, next(metadata, b""), _OF_WHEEL.match)


def _entry(file: IO[bytes], mode: int, name: str, texts: dict[str, bytes]) -> Entry:
    """Return what one file is; keep the text of one that tells the version."""
    whole = hashlib.sha256()
    first = b""
    while block := file.read(1 << 20):
        first = first or block
        whole.update(block)
    if name == "PKG-INFO" or re.fullmatch(r"[^/]+\.dist-info/METADATA", name):
        texts[name] = first
    return Entry(whole.hexdigest(), executable=bool(mode & 0o100))


def _parcel(
    path: Path,
    files: Mapping[str, Entry],
    metadata: bytes,
    is_made: Callable[[str], re.Match[str] | None],
) -> Parcel:
    told = email.message_from_bytes(metadata)
    name, version = told.get("Name"), told.get("Version")
    if not name or not version:
        raise ValueError("it does not say its name and version")
    own = {name: entry for name, entry in files.items() if not is_made(name)}
    return Parcel(path, sha256(path), name, version, files, own)


def sha256(path: Path) -> str:
    """Return the checksum of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def strangers(parcel: Parcel, content: Mapping[str, Entry]) -> Iterator[str]:
    """Return the files of an archive that are not, byte for byte, in ``content``.

    Where they lie does not matter: a wheel has no ``src/``.
    """
    known = {entry.sha256 for entry in content.values()}
    for name, entry in sorted(parcel.own.items()):
        if entry.sha256 not in known:
            yield os.fspath(name)
