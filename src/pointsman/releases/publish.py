"""An sdist, and its checksum, in a directory that all servers see.  Effects.

::

    DIR/mysite-1.2.0.tar.gz          whole, or not there
    DIR/mysite-1.2.0.tar.gz.sha256   as sha256sum(1) reads it; there before the file is
    DIR/publish.log                  one JSON object a line; locked by who publishes

Only the standard library: setup.py imports this before anything is installed.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pwd
import shutil
import socket
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman import durable, faults
from pointsman.errors import ReleaseError
from pointsman.releases import parcel, tested
from pointsman.releases.checkout import Checkout, digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pointsman.releases.parcel import Parcel

LOG = "publish.log"
_PART = ".part"
_READABLE = 0o644  # for all servers, whatever the umask of who publishes
_MOST_TOLD = 3  # files that one reason names


@dataclass(frozen=True, slots=True)
class File:
    """One published file; ``fresh`` is false when it was there with this content."""

    path: Path
    sha256: str
    size: int
    fresh: bool


@dataclass(frozen=True, slots=True)
class Published:
    """What lies in the directory now, and which reasons against it were overruled."""

    files: tuple[File, ...]
    overruled: tuple[str, ...] = ()


def publish(
    files: Sequence[Path], to: Path, *, force: str = "", project: Path | None = None
) -> Published:
    """Put sdists and wheels, each with its checksum, into the directory ``to``.

    Published is what was tested, committed and tagged in the folder ``project`` (by
    default this one), and a version that is there stays what it is.  ``force``, a
    reason for people to read, overrules all that; it is logged.  Either all files are
    allowed, or none is copied.  Blocks, also while somebody else publishes there.

    Raises:
        ReleaseError: with every reason that there is, or the disk is full ...

    """
    parcels = [parcel.read(path) for path in files]
    with _locked(to) as log:
        checkout = Checkout(project or Path())
        against = (*_of_project(checkout, parcels), *_of_share(to, parcels))
        if against and not force.strip():
            raise ReleaseError(_refusal(parcels, to, against))
        for stale in to.glob(f".*{_PART}"):  # nobody else has the lock
            stale.unlink()
        done = [_delivered(one, to, log, force, against) for one in parcels]
    return Published(tuple(done), against)


def _refusal(parcels: Iterable[Parcel], to: Path, against: Iterable[str]) -> str:
    names = ", ".join(one.path.name for one in parcels)
    lines = "".join(f"\n  {line}" for line in against)
    advice = "to publish all the same, say why: --force REASON (it is logged)"
    return f"{names} is not published to {to}:{lines}\n{advice}"


# WHAT SPEAKS AGAINST IT


def _of_project(checkout: Checkout, parcels: Sequence[Parcel]) -> Iterator[str]:
    try:
        content, changes, tags = checkout.content(), checkout.changes(), checkout.tags()
    except ReleaseError as error:
        yield str(error)
        return
    if changes:
        yield f"the tree has what is not committed: {_few(changes)}"
    for version in sorted({one.version for one in parcels}):
        if not tags & {version, f"v{version}"}:
            yield f"the commit has no tag v{version} or {version}: git tag v{version}"
    passed = tested.read(checkout.folder)
    if passed != digest(content):
        yield _untested(passed)
    for one in parcels:
        if strange := tuple(parcel.strangers(one, content)):
            yield (
                f"{one.path.name} has files that are not those of the tree, so nobody "
                f"has tested them; build it again: {_few(strange)}"
            )


def _untested(passed: str) -> str:
    what = "no whole run of the tests has passed here"
    if passed:
        what = "the tests passed on another content than this"
    return f"{what}: bin/test, all of it, leaves a record when it is green"


def _of_share(to: Path, parcels: Iterable[Parcel]) -> Iterator[str]:
    for one in parcels:
        there = to / one.path.name
        if there.exists() and not _is_same(one, there):
            yield (
                f"{there} is there with other content; servers may have it: "
                "release another version"
            )


def _is_same(one: Parcel, there: Path) -> bool:
    try:
        return parcel.read(there).digest == one.digest
    except ReleaseError:
        return False


def _few(lines: Sequence[str]) -> str:
    more = len(lines) - _MOST_TOLD
    shown = ", ".join(line.strip() for line in lines[:_MOST_TOLD])
    return f"{shown} and {more} more" if more > 0 else shown


# HOW IT GETS THERE


@contextlib.contextmanager
def _locked(to: Path) -> Iterator[int]:
    """Let nobody else publish; hand the descriptor of the log out."""
    if not to.is_dir():
        raise ReleaseError(f"there is no directory {to}; mount it, or make it")
    try:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        log = os.open(to / LOG, flags, 0o666)  # the umask says who else may
    except OSError as error:
        raise ReleaseError(f"nothing can be published to {to}: {error}") from error
    try:
        fcntl.flock(log, fcntl.LOCK_EX)
        yield log
    except OSError as error:
        raise ReleaseError(f"cannot publish to {to}: {error}") from error
    finally:
        os.close(log)


def _delivered(
    one: Parcel, to: Path, log: int, force: str, against: Iterable[str]
) -> File:
    """Copy one file beside its place, then let it appear.

    Who sees the file sees a checksum, too: of this file, but for the moment in which
    a forced one replaces another.  The log has a line before anything shows.
    """
    there = to / one.path.name
    if there.exists() and _is_same(one, there):
        return _kept(there)
    with _copied(one, to) as part:
        faults.point("release.publish-copied")
        file = File(there, one.sha256, part.stat().st_size, fresh=True)
        _note(log, file, force, against)
        _write_checksum(file)
        faults.point("release.publish-summed")
        part.rename(there)
        durable.folder(to)
    return file


def _kept(there: Path) -> File:
    """Leave a file as it is; give it a checksum, if a killed publisher has not."""
    size = there.stat().st_size
    file = File(there, parcel.sha256(there), size, fresh=False)
    _write_checksum(file)
    return file


@contextlib.contextmanager
def _copied(one: Parcel, to: Path) -> Iterator[Path]:
    descriptor, name = tempfile.mkstemp(_PART, f".{one.path.name}.", to)
    part = Path(name)
    try:
        with one.path.open("rb") as source, os.fdopen(descriptor, "wb") as target:
            shutil.copyfileobj(source, target, 1 << 20)
            target.flush()
            os.fchmod(descriptor, _READABLE)
            os.fsync(descriptor)
        if parcel.sha256(part) != one.sha256:
            raise ReleaseError(f"{one.path} has changed while it was published")
        yield part
    finally:
        part.unlink(missing_ok=True)


def _write_checksum(file: File) -> None:
    path = file.path.with_name(f"{file.path.name}.sha256")
    text = f"{file.sha256}  {file.path.name}\n"
    try:
        if path.read_text("utf-8") == text:
            return
    except (OSError, ValueError):
        pass  # it is missing, or something else lies there
    durable.replace(path, text, mode=_READABLE)


def _note(log: int, file: File, force: str, against: Iterable[str]) -> None:
    line: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "who": _who(),
        "what": "replaced" if file.path.exists() else "published",
        "file": file.path.name,
        "sha256": file.sha256,
        "size": file.size,
    }
    if force.strip():
        line |= {"force": force.strip(), "overruled": list(against)}
    os.write(log, (json.dumps(line, ensure_ascii=False) + "\n").encode())
    os.fsync(log)


def _who() -> str:
    """Return ``person@host``: also behind sudo(8) the person."""
    uid = os.geteuid()
    behind = os.environ.get("SUDO_USER", "") if uid == 0 else ""
    try:
        person = behind or pwd.getpwuid(uid).pw_name
    except KeyError:
        person = f"uid {uid}"
    return f"{person}@{socket.gethostname()}"
