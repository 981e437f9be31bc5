"""Whether another user can serve from a tree, found out as that user.  Effects.

Modes do not tell: access lists and network file systems have rules of their own.  So a
child becomes the user and asks the kernel.
"""

from __future__ import annotations

import os
import pwd
import stat
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.releases import contents, sealing
from pointsman.releases.sites import user

if TYPE_CHECKING:
    from collections.abc import Iterator

_MOST = 4100  # bytes of an answer; a path has at most 4096 (PATH_MAX)
_RIGHTS = {"r": os.R_OK, "x": os.X_OK}


def obstacle(tree: Path, interpreter: Path, uid: int, gid: int) -> str:
    """Return what keeps a user from running a tree, as a sentence, or "".

    Raises:
        ReleaseError: only root can look as another user.

    """
    if uid == os.geteuid():
        return _told(_first(tree, interpreter), uid)
    if os.geteuid() != 0:
        raise ReleaseError(
            f"only root can find out what {user(uid)} may read; run it as root or as "
            f"{user(uid)}"
        )
    return _told(_as_user(tree, interpreter, uid, gid), uid)


def _as_user(tree: Path, interpreter: Path, uid: int, gid: int) -> str:
    groups = _groups(uid, gid)
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # The child only asks the kernel: it needs no lock that a thread may hold.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _answer(writing, (tree, interpreter), (groups, uid, gid))
    os.close(writing)
    with open(reading, "rb") as answer:  # noqa: PTH123 - a descriptor
        found = os.fsdecode(answer.read())
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0:
        raise ReleaseError(f"what {user(uid)} may read cannot be found out: {found}")
    return found


def _answer(
    writing: int, paths: tuple[Path, Path], who: tuple[list[int], int, int]
) -> None:
    """Become the user, write the answer and end; nothing here returns."""
    status = 1
    try:
        groups, uid, gid = who
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        os.write(writing, os.fsencode(_first(*paths))[:_MOST])
        status = 0
    except OSError as error:
        os.write(writing, str(error).encode()[:_MOST])
    finally:
        os._exit(status)


def _groups(uid: int, gid: int) -> list[int]:
    try:
        return os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)
    except KeyError:
        return [gid]


def _first(tree: Path, interpreter: Path) -> str:
    """Return the right that is missing and its path, the outermost, or ""."""
    for path, rights in _needed(tree, interpreter):
        if not os.access(path, sum(_RIGHTS[letter] for letter in rights)):
            return f"{rights} {path}"
    return ""


def _needed(tree: Path, interpreter: Path) -> Iterator[tuple[Path | str, str]]:
    for folder in reversed(tree.parents):
        yield folder, "x"
    yield tree, "rx"
    for path, status in contents.walk(tree):
        if stat.S_ISREG(status.st_mode):
            executed = sealing.final_mode(path, status.st_mode) & 0o111
            yield f"{tree}/{path}", "rx" if executed else "r"
        elif stat.S_ISDIR(status.st_mode):
            yield f"{tree}/{path}", "rx"
    for folder in reversed(interpreter.parents):
        yield folder, "x"
    yield interpreter, "rx"


def _told(missing: str, uid: int) -> str:
    """Return the sentence about what is missing, which the caller may see."""
    if not missing:
        return ""
    rights, _, path = missing.partition(" ")
    try:
        found = Path(path).stat()
    except OSError as error:
        return f"{path}: {error.strerror}"
    if stat.S_ISDIR(found.st_mode):
        what = "enter the folder"
    else:
        what = "execute" if "x" in rights else "read"
    mode, owner = f"{stat.S_IMODE(found.st_mode):o}", user(found.st_uid)
    return (
        f"{user(uid)} may not {what} {path} (mode {mode}, of {owner}); "
        f"chmod o+{rights} {path}"
    )
