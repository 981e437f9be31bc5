"""From a file that somebody sent to a package that can be loaded.  Effects.

`identify` and `open_package` check the same, in the same order; the first keeps
nothing of what it reads.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

import pointsman
from pointsman.archive.contents import check_contents, dropped
from pointsman.archive.directory import looks_like_zip, require_zip
from pointsman.archive.manifest import LIB, MANIFEST, NO_WORKERS, parse_manifest
from pointsman.archive.members import Container
from pointsman.archive.record import Record
from pointsman.archive.unfit import LIMITS, NoArtifact, Unfit
from pointsman.archive.wheel import info_folder, read_wheel
from pointsman.errors import ArtifactError, KindError
from pointsman.model import Artifact, Declared, Kind, Package

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import BinaryIO

    from pointsman.cluster import Entry

_SUFFIXES = {
    ".py": Kind.MODULE,
    ".sar": Kind.ARCHIVE,
    ".zip": Kind.ARCHIVE,
    ".whl": Kind.WHEEL,
}
_MODULE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}\Z")
_PIECE = 256 * 1024
_MOST_TOLD = 1000  # characters of a reason


@dataclass(frozen=True, slots=True)
class Identity:
    """What a file is, as it says itself; ``version`` is for people."""

    package: str
    kind: Kind
    version: str = ""


@dataclass(frozen=True, slots=True)
class _Opened:
    """What was read of a file; ``pieces`` gives the bytes of each of ``names``."""

    identity: Identity
    names: tuple[str, ...]
    pieces: Callable[[str], Iterator[bytes]]
    declared: tuple[Declared, ...] = ()


def identify(path: Path, file: str, package: str = "") -> Identity:
    """Check a file that was sent under the name ``file``, and return what it is.

    All of it is read once, and nothing of it is kept; it is neither compiled nor
    run.  ``package``, when it is given, must be its name.  Any thread; blocks.

    Raises:
        KindError: it is neither a module nor an archive nor a wheel.
        ArtifactError: it is one that cannot be deployed.
        OSError: it cannot be read.

    """
    with path.open("rb") as stream:
        return inspect(stream, file, package)


def inspect(
    stream: BinaryIO, file: str, package: str = "", *, workers: bool = False
) -> Identity:
    """Do what `identify` does; with ``workers`` also take what needs a process."""
    with _Told(package or _stem(file), file):
        opened = _open(stream, file, package, workers=workers)
        if package and package != opened.identity.package:
            raise Unfit(
                f"its name is {opened.identity.package}, and {package} was expected"
            )
        for name in opened.names:
            for _ in opened.pieces(name):
                pass
        return opened.identity


def open_package(path: Path, entry: Entry) -> Package:
    """Read the artifact of an entry, all of it, into memory.

    The bytes are those that ``entry.digest`` names: who calls this has compared
    them.  Any thread; blocks.

    Raises:
        ArtifactError: it cannot be used, or not on this host.
        OSError: it cannot be read.

    """
    with path.open("rb") as stream:
        return open_stream(stream, entry)


def open_stream(stream: BinaryIO, entry: Entry) -> Package:
    """Do what `open_package` does, of an open file."""
    origin = _origin(entry)
    with _Told(entry.package, origin):
        if not entry.kind.is_known:
            raise Unfit(
                f"pointsman {pointsman.__version__} knows no artifacts of the kind "
                f"{entry.kind}: a newer release has deployed it; run that one here, too"
            )
        opened = _open(stream, entry.file, entry.package, workers=False)
        if opened.identity.package != entry.package:
            raise Unfit(f"its name is {opened.identity.package}, not {entry.package}")
        files = {name: b"".join(opened.pieces(name)) for name in opened.names}
        kind = opened.identity.kind
        given = "" if kind is Kind.MODULE else entry.digest
        artifact = Artifact(entry.package, kind, files, origin, given)
    offers = (entry.package,) if kind is Kind.MODULE else ()
    return Package(entry.package, artifact, offers, entry.source, opened.declared)


def _origin(entry: Entry) -> str:
    place = entry.source.rpartition("/")[0] or entry.source
    return f"{entry.file or entry.package} ({'upload' if place == 'push' else place})"


def _stem(file: str) -> str:
    return PurePosixPath(file).stem or "the upload"


# WHAT IT IS


def _open(stream: BinaryIO, file: str, package: str, *, workers: bool) -> _Opened:
    stream.seek(0)
    start = stream.read(4)
    kind = _kind(start, file)
    if kind is Kind.MODULE:
        return _module(stream, file, package)
    require_zip(start, file)
    container = Container(stream, LIMITS)
    info = info_folder(container.names)
    if kind is None:
        kind = Kind.ARCHIVE if info is None or MANIFEST in container else Kind.WHEEL
    if kind is Kind.WHEEL:
        return _wheel(container, info)
    if info is not None and MANIFEST not in container:
        raise Unfit(f"it is a wheel, and is called {file}; call it .whl")
    return _archive(container, workers=workers)


def _kind(start: bytes, file: str) -> Kind | None:
    """Return what a file is by its name; None is some zip without a suffix."""
    suffix = PurePosixPath(file).suffix.lower()
    if suffix and suffix not in _SUFFIXES:
        raise NoArtifact(
            "it is neither a module (.py) nor an archive (.sar, .zip) nor a wheel "
            "(.whl); its name must end with one of these"
        )
    if suffix == ".py" and looks_like_zip(start):
        raise NoArtifact(f"{file} is called like a module, and is a zip file")
    if not suffix:
        return None if looks_like_zip(start) else Kind.MODULE
    return _SUFFIXES[suffix]


def _module(stream: BinaryIO, file: str, package: str) -> _Opened:
    name = PurePosixPath(file).stem or package
    if not _MODULE.match(name):
        raise Unfit(
            f"{name[:80]!a} cannot be imported; a module's name has letters, "
            "digits and '_' only, and begins with no digit; rename the file"
        )
    length = stream.seek(0, os.SEEK_END)
    if length > LIMITS.total:
        raise Unfit(f"it is larger than {LIMITS.total} bytes")

    def pieces(_name: str) -> Iterator[bytes]:
        stream.seek(0)
        while piece := stream.read(_PIECE):
            if b"\0" in piece:
                raise NoArtifact(f"{file} is no Python source: it has null bytes")
            yield piece

    return _Opened(Identity(name, Kind.MODULE), (f"{name}.py",), pieces)


def _archive(container: Container, *, workers: bool) -> _Opened:
    if MANIFEST not in container:
        raise Unfit(_no_manifest(container.names))
    manifest = parse_manifest(container.text(MANIFEST))
    own = any(name.startswith(LIB) for name in container.names)
    if own and manifest.isolation == "namespace":
        raise Unfit(
            f"{MANIFEST}: [package] isolation = namespace, and it has libraries of "
            f"its own in {LIB}; take one of them out"
        )
    if own and not workers:
        raise Unfit(
            f"it has libraries of its own in {LIB} and {NO_WORKERS}; install them into "
            f"the host's environment, and pack it without {LIB}"
        )
    if manifest.isolation == "process" and not workers:
        raise Unfit(
            f"it {NO_WORKERS}; if it can live beside others, write isolation = "
            f"namespace into its {MANIFEST}"
        )
    names = tuple(name for name in container.names if not dropped(name))
    check_contents([name for name in names if not (workers and name.startswith(LIB))])
    identity = Identity(manifest.name, Kind.ARCHIVE, manifest.version)
    return _Opened(identity, names, container.pieces, manifest.declared)


def _no_manifest(names: tuple[str, ...]) -> str:
    inner = [name for name in names if name.endswith(f"/{MANIFEST}")]
    if inner:
        return (
            f"its {MANIFEST} is {inner[0]}, and must be at the top; pack the content "
            "of the folder, not the folder"
        )
    return f"it has no {MANIFEST}; that names the package and its services"


def _wheel(container: Container, info: str | None) -> _Opened:
    if info is None:
        raise Unfit("it is called .whl, and has no .dist-info/WHEEL; build it again")
    wheel = read_wheel(container, info)
    record = Record(container, info)
    check_contents(container.names)

    def pieces(name: str) -> Iterator[bytes]:
        return record.check(name, container.pieces(name))

    names = tuple(name for name in container.names if not dropped(name))
    identity = Identity(wheel.name, Kind.WHEEL, wheel.version)
    return _Opened(identity, names, pieces, wheel.declared)


class _Told:
    """Says of which package and file it was that something is unfit."""

    def __init__(self, package: str, file: str) -> None:
        self._package = package
        self._file = file or "an upload without a name"

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, _: object) -> None:
        if isinstance(error, Unfit):
            reason = str(error)
            if len(reason) > _MOST_TOLD:  # it tells what somebody has sent
                reason = f"{reason[:_MOST_TOLD]} ..."
            fault = KindError if isinstance(error, NoArtifact) else ArtifactError
            raise fault(self._package, self._file, reason) from None
