"""A folder, and what it requires, as one archive.  Effects.

The same input makes the same bytes: whatever the order and times of files, the
umask, the locale and the machine, as long as zlib compresses alike.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.archive.manifest import LIB, MANIFEST
from pointsman.archive.opening import inspect
from pointsman.errors import ArtifactError, ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest that a zip can tell
_LEVEL = 9
_UNIX = 3
# Caches, and what editors and operating systems leave behind; also hidden files.
_FOLDERS = re.compile(r"__pycache__\Z|\.|__MACOSX\Z")
_FILES = re.compile(
    r"\.|.*~\Z|#.*#\Z|.*\.(pyc|pyo|swp|swo|bak|orig|rej|tmp|part|sar)\Z"
)
# Of libraries, all but bytecode belongs to them, whatever it is called.
_CACHES = re.compile(r"__pycache__\Z")
_BYTECODE = re.compile(r".*\.(pyc|pyo)\Z")
# What pip writes about this installation, and not about the library.
_NOTES = ("RECORD", "INSTALLER", "REQUESTED", "direct_url.json")
_MOST_TOLD = 2000  # characters of what pip has printed


@dataclass(frozen=True, slots=True)
class Packed:
    """The archive that was made: its digest, how many files, how many bytes."""

    digest: str
    files: int
    size: int


def pack(folder: Path, output: Path, *, requirements: Path | None = None) -> Packed:
    """Make the archive ``output`` of a folder that has a ``service.ini``.

    With ``requirements``, a file for pip, the libraries that it names are put into
    ``lib/``, by the pip of the Python that runs this.  The result is checked as an
    upload is, except that it may have a ``lib/``; ``output`` is written whole or not
    at all.  Blocks.

    Raises:
        ArtifactError: this cannot be an archive.
        ReleaseError: a file cannot be read or written, or pip has failed.

    """
    try:
        with tempfile.TemporaryDirectory(prefix="pointsman-pack-") as scratch:
            files = _own(folder, output)
            if requirements is not None:
                if any(name.startswith(LIB) for name in files):
                    raise _unfit(folder, f"it has a {LIB} already; take that out")
                files.update(_installed(requirements, Path(scratch)))
            return _written(files, folder, output)
    except OSError as error:
        message = f"cannot pack {folder}: {error.strerror or error}: {error.filename}"
        raise ReleaseError(message) from error


def _unfit(folder: Path, reason: str) -> ArtifactError:
    return ArtifactError(folder.absolute().name, str(folder), reason)


# WHAT GOES IN


def _own(folder: Path, output: Path) -> dict[str, Path]:
    """Return the files of the folder, by their paths in the archive."""
    if not folder.is_dir():
        raise _unfit(folder, "there is no such folder")
    if not (folder / MANIFEST).is_file():
        reason = f"it has no {MANIFEST}; that names the package and its services"
        raise _unfit(folder, reason)
    files = dict(_walk(folder, _FOLDERS, _FILES))
    there = output.absolute()
    return {name: path for name, path in files.items() if path.absolute() != there}


def _walk(
    folder: Path, skip_folders: re.Pattern[str], skip_files: re.Pattern[str]
) -> Iterator[tuple[str, Path]]:
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = sorted(name for name in folders if not skip_folders.match(name))
        kept = [name for name in names if not skip_files.match(name)]
        for name in (*folders, *kept):
            _check(folder, Path(parent, name))
        for name in kept:
            path = Path(parent, name)
            yield path.relative_to(folder).as_posix(), path


def _refuse(error: OSError) -> None:
    raise error


def _check(folder: Path, path: Path) -> None:
    mode = path.lstat().st_mode
    if stat.S_ISLNK(mode):
        raise _unfit(folder, f"{path} is a link; put what it leads to in its place")
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise _unfit(folder, f"{path} is neither a file nor a folder")


def _installed(requirements: Path, scratch: Path) -> Iterator[tuple[str, Path]]:
    """Let pip install; return the files, by their paths in the archive."""
    target = scratch / "lib"
    command = [
        *(sys.executable, "-m", "pip", "install", "--target", str(target)),
        *("--no-compile", "--no-input", "--disable-pip-version-check"),
        *("--no-warn-conflicts", "--requirement", str(requirements)),
    ]
    _require_pip()
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PIP_USER": "0"}
    done = subprocess.run(  # noqa: S603 - the interpreter that runs this
        command, capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode:
        told = (done.stderr or done.stdout).strip()[-_MOST_TOLD:]
        message = f"pip cannot install {requirements}:\n{told}"
        raise ReleaseError(message)
    # Scripts name the interpreter that they were made for, and nothing calls them.
    shutil.rmtree(target / "bin", ignore_errors=True)
    target.mkdir(exist_ok=True)  # nothing was required
    for name, path in _walk(target, _CACHES, _BYTECODE):
        if not (path.parent.name.endswith(".dist-info") and path.name in _NOTES):
            yield LIB + name, path


def _require_pip() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "pip", "--version"], capture_output=True, check=False
    )
    if found.returncode:
        message = (
            f"{sys.executable} has no pip, which fetches what the requirements name; "
            "install pip there, or pack without requirements"
        )
        raise ReleaseError(message)


# WHAT COMES OUT


def _written(files: dict[str, Path], folder: Path, output: Path) -> Packed:
    half = output.with_name(f".{output.name}.{os.getpid()}.part")
    try:
        with half.open("w+b") as stream:
            with zipfile.ZipFile(stream, "w", allowZip64=False) as archive:
                for name in sorted(files):
                    content = files[name].read_bytes()
                    archive.writestr(_entry(name), content, compresslevel=_LEVEL)
            stream.flush()
            _checked(stream, folder)
            stream.seek(0)
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
            os.fsync(stream.fileno())
        half.replace(output)
    except zipfile.LargeZipFile as error:
        raise _unfit(folder, f"it is too large for an archive: {error}") from error
    finally:
        with contextlib.suppress(OSError):
            half.unlink()
    return Packed(digest, len(files), output.stat().st_size)


def _entry(name: str) -> zipfile.ZipInfo:
    entry = zipfile.ZipInfo(name, _EPOCH)
    entry.create_system = _UNIX
    entry.external_attr = (stat.S_IFREG | 0o644) << 16
    entry.compress_type = zipfile.ZIP_DEFLATED
    return entry


def _checked(stream: BinaryIO, folder: Path) -> None:
    try:
        inspect(stream, "packed.sar", workers=True)
    except ArtifactError as error:
        raise _unfit(folder, error.reason) from None
