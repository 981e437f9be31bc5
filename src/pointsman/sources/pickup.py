"""The files of a pick-up directory: claimed, put back, taken away, failed.  Effects.

A file is claimed by a rename into a hidden folder beside it, which is named after
who claims and after the claim: from then on nobody else takes it, and a newer file of
its name is another file.  What is claimed and not proposed can always be put back.

::

    pickup/.pointsman/HOST%3APID%3ASTARTED%3AN~CLAIM/crm.py     claimed
    pickup/failed/crm.py, pickup/failed/crm.py.error.txt        the newest that failed
    pickup/failed/crm.py.1, pickup/failed/crm.py.1.error.txt    the one before it
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import hashlib
import logging
import os
import shutil
import stat
import tempfile
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_log = logging.getLogger(__name__)

#: The hidden folder of claims.
CLAIMS = ".pointsman"
FAILED = "failed"

#: How many of one name are kept in ``failed``.
KEPT = 5

_LONGEST = 255  # bytes of a name: NAME_MAX of the file systems of Linux
_ADDED = len(f".{KEPT}.error.txt")  # what a name in ``failed`` is made longer by
_MARK = 16  # hexadecimal digits that tell a name that was cut from others

_HERE, _NO_REPLACE = -100, 1  # AT_FDCWD, RENAME_NOREPLACE
_PIECE = 256 * 1024


@dataclass(frozen=True, slots=True)
class Claim:
    """Files that belong to one node, until it has deployed them or put them back.

    ``id`` is what the ledger knows the proposal by.
    """

    id: str
    node: str
    folder: Path

    def files(self) -> list[str]:
        """Return the names of the files that are still claimed."""
        try:
            return sorted(os.listdir(self.folder))  # noqa: PTH208 - names are wanted
        except FileNotFoundError:
            return []

    def path(self, name: str) -> Path:
        """Return where a claimed file is."""
        return self.folder / name


class PickUp:
    """One pick-up directory.  One thread; others may do the same elsewhere.

    Raises `OSError` wherever the file system does not do what it must.
    """

    def __init__(self, folder: Path) -> None:
        """Touch nothing."""
        self.folder = folder

    # CLAIMS

    def claim(self, names: Iterable[str], node: str) -> Claim:
        """Take files; those that vanish meanwhile are left out."""
        claim = self._new(node)
        claim.folder.parent.mkdir(mode=0o700, exist_ok=True)
        claim.folder.mkdir(mode=0o700)
        try:
            for name in names:
                with contextlib.suppress(FileNotFoundError):
                    (self.folder / name).rename(claim.path(name))
        except OSError:
            self.put_back(claim)
            raise
        return claim

    def claims(self) -> list[Claim]:
        """Return all claims that there are, whoever's."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for folder in sorted((self.folder / CLAIMS).iterdir()):
                node, mark, number = folder.name.rpartition("~")
                if mark:
                    found.append(Claim(number, unquote(node), folder))
        return found

    def renew(self, claim: Claim, node: str) -> Claim:
        """Give what is left of a claim a new id, for another proposal."""
        return self._renamed(claim, self._new(node))

    def adopt(self, claim: Claim, node: str) -> Claim:
        """Take over a claim of a node that is gone; its id stays.

        Raises:
            FileNotFoundError: somebody else was faster.

        """
        return self._renamed(claim, self._named(node, claim.id))

    def release(self, claim: Claim) -> None:
        """Take an empty claim's folder away."""
        with contextlib.suppress(OSError):  # it is not empty, or gone
            claim.folder.rmdir()

    def _new(self, node: str) -> Claim:
        return self._named(node, uuid.uuid4().hex)

    def _named(self, node: str, number: str) -> Claim:
        name = f"{quote(node, safe='')}~{number}"
        return Claim(number, node, self.folder / CLAIMS / name)

    def _renamed(self, claim: Claim, new: Claim) -> Claim:
        claim.folder.rename(new.folder)
        return new

    # WHAT BECOMES OF A FILE

    def put_back(self, claim: Claim) -> list[str]:
        """Put all files back in their place, and end the claim.

        Return those that had to stay: a newer file of the name lies there.
        """
        stay = [name for name in claim.files() if not self.put_back_one(claim, name)]
        self.release(claim)
        return stay

    def put_back_one(self, claim: Claim, name: str) -> bool:
        """Put a file back in its place; False if a newer one of the name lies there."""
        source, target = claim.path(name), self.folder / name
        try:
            _rename_to_nothing(source, target)
        except FileExistsError:
            return False
        return True

    def remove(self, claim: Claim, name: str) -> None:
        """Take a claimed file away; it is deployed."""
        claim.path(name).unlink(missing_ok=True)

    def fail(self, claim: Claim, name: str, text: str) -> None:
        """Move a claimed file to ``failed``, beside a text that says why."""
        folder = self._failed()
        source, target = claim.path(name), folder / _fitting(name)
        if not source.exists():
            return
        _make_room(target)
        try:
            _write(_text_of(target), text, source.stat().st_mode)
        except OSError as error:  # a full disk: the log has it, and the file must go
            _log.warning("%s: %s", _text_of(target), error.strerror or error)
        source.rename(target)

    def tell(self, name: str, text: str) -> None:
        """Write down why a file failed that stays in its place."""
        target = self._failed() / _fitting(name)
        _write(_text_of(target), text, 0o644)

    def untell(self, name: str) -> None:
        """Take such a text away again."""
        with contextlib.suppress(OSError):
            _text_of(self.folder / FAILED / _fitting(name)).unlink()

    def _failed(self) -> Path:
        folder = self.folder / FAILED
        if not folder.is_dir():
            folder.mkdir(exist_ok=True)
            mode = stat.S_IMODE(self.folder.stat().st_mode)
            folder.chmod(mode)  # who may put files in may see what became of them
        return folder


def pieces(path: Path) -> Iterator[bytes]:
    """Return the bytes of a file."""
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _rename_to_nothing(source: Path, target: Path) -> None:
    """Rename, unless there is a ``target`` already; renameat2(2).

    Raises:
        FileExistsError: there is.
        OSError: it cannot be renamed.

    """
    rename = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    names = os.fsencode(source), os.fsencode(target)
    if rename and not rename(_HERE, names[0], _HERE, names[1], _NO_REPLACE):
        return
    number = ctypes.get_errno() if rename else errno.ENOSYS
    if number not in (errno.EINVAL, errno.ENOSYS):
        raise OSError(number, os.strerror(number), str(source), None, str(target))
    if target.exists():  # an old kernel, or a file server: as near as it gets
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(target))
    source.rename(target)


def _fitting(name: str) -> str:
    """Return the name that a file has in ``failed``: its own, cut if it is too long.

    It gets a number and ``.error.txt`` there, for which a file system must have room.
    What is cut is told from others by a digest of the whole, the same each time.
    """
    whole = os.fsencode(name)
    if len(whole) + _ADDED <= _LONGEST:
        return name
    mark = f"~{hashlib.sha256(whole).hexdigest()[:_MARK]}"
    stem, dot, suffix = name.rpartition(".")
    tail = mark + dot + suffix
    room = _LONGEST - _ADDED - len(os.fsencode(tail))
    if not stem or room <= 0:  # hardly a suffix
        stem, tail, room = name, mark, _LONGEST - _ADDED - len(mark)
    while len(os.fsencode(stem)) > room:  # by characters: none of them is halved
        stem = stem[:-1]
    return stem + tail


def _text_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.error.txt")


def _write(path: Path, text: str, mode: int) -> None:
    """Write a file that nobody ever sees half of.

    A name in ``text`` that is no UTF-8 (of an old file server) is written escaped.
    """
    descriptor, name = tempfile.mkstemp(".part", ".error.", path.parent)
    part = Path(name)
    try:
        with os.fdopen(
            descriptor, "w", encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
        part.chmod(mode & 0o666)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _make_room(target: Path) -> None:
    """Number those of this name that failed before: 1 is the youngest of them."""
    for number in range(KEPT - 1, -1, -1):
        older = _numbered(target, number)
        if not older.exists():
            continue
        for old, new in (
            (older, _numbered(target, number + 1)),
            (_text_of(older), _text_of(_numbered(target, number + 1))),
        ):
            with contextlib.suppress(FileNotFoundError):
                if number + 1 < KEPT:
                    old.replace(new)
                elif old.is_dir():
                    shutil.rmtree(old)
                else:
                    old.unlink()


def _numbered(target: Path, number: int) -> Path:
    return target.with_name(f"{target.name}.{number}") if number else target
