"""What the files of an archive may be called.  Decisions.

A name is read by Python, by the file system, by people and by other programs; what
one of them could take for another path, or for the path of another file, is refused.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING

from pointsman.archive.unfit import Unfit

if TYPE_CHECKING:
    from collections.abc import Iterable

#: Longest name of a file or folder, and longest path; in bytes of UTF-8.
LONGEST_NAME = 200
LONGEST_PATH = 1000

_DRIVE = re.compile(r"[A-Za-z]:")


def check_names(names: Iterable[str]) -> None:
    """Refuse a list of files when one of the names, or two together, cannot be.

    A name that ends with ``/`` is a folder.

    Raises:
        Unfit: which name, and why.

    """
    seen: dict[str, str] = {}
    files: set[str] = set()
    for name in names:
        check_name(name)
        key = _alike(name.rstrip("/"))
        known = seen.get(key)
        if known is not None:
            raise _twice(known, name)
        seen[key] = name
        if not name.endswith("/"):
            files.add(key)
    folders: dict[str, str] = {}
    for key, name in seen.items():
        _check_folders(key, name, files, folders)


def check_name(name: str) -> None:
    """Refuse one path.

    Raises:
        Unfit: why.

    """
    path = name.removesuffix("/")
    shown = ascii(name[:120])
    if not path or path.startswith("/") or _DRIVE.match(path):
        raise Unfit(f"{shown} is an absolute path; pack files by paths inside")
    if "\\" in path:
        raise Unfit(f"{shown} has a backslash; pack it with / between folders")
    if any(unicodedata.category(letter)[0] == "C" for letter in path):
        raise Unfit(f"{shown} has a character that cannot be seen; rename it")
    if ".." in path.split("/"):
        raise Unfit(f"{shown} leads to a parent folder; pack files by paths inside")
    if any(part in ("", ".") for part in path.split("/")):
        raise Unfit(f"{shown} is not in its shortest form; pack it again")
    _check_look(path, shown)
    if len(path.encode()) > LONGEST_PATH or any(
        len(part.encode()) > LONGEST_NAME for part in path.split("/")
    ):
        raise Unfit(
            f"{shown}... is too long: {LONGEST_NAME} bytes are allowed for a name, and "
            f"{LONGEST_PATH} for a path"
        )


def _check_look(path: str, shown: str) -> None:
    """Refuse letters that look like others, where a name means something."""
    if path.isascii():
        return
    if path.endswith(".py"):
        raise Unfit(f"{shown}: the path of a module has plain letters only; rename it")
    plain = unicodedata.normalize("NFKC", path)
    parts = plain.split("/")
    if "\\" in plain or len(parts) != path.count("/") + 1 or {"", ".", ".."} & {*parts}:
        raise Unfit(f"{shown} has characters that look like / or .; rename it")


def _alike(path: str) -> str:
    """Return the same text for names that some file system or eye takes as one."""
    return unicodedata.normalize("NFKC", path).casefold()


def _check_folders(
    key: str, name: str, files: set[str], folders: dict[str, str]
) -> None:
    """Refuse a file that is a folder too, and folders that differ by case only."""
    parts, keys = name.rstrip("/").split("/"), key.split("/")
    depth = len(parts) if name.endswith("/") else len(parts) - 1
    for end in range(1, depth + 1):
        folder, folder_key = "/".join(parts[:end]), "/".join(keys[:end])
        if folder_key in files:
            raise Unfit(f"{folder!a} is a file, and the folder of {name!a} as well")
        known = folders.setdefault(folder_key, folder)
        if known != folder:
            raise _twice(known, folder)


def _twice(one: str, other: str) -> Unfit:
    if one == other:
        return Unfit(f"{one!a} is in it twice; pack it again")
    return Unfit(
        f"{one!a} and {other!a} are one name where capitals and forms of a "
        "letter do not count; rename one of them"
    )
