"""The folders of a site: made, and changed by nobody but their owner.  Effects."""

from __future__ import annotations

import errno
import os
import pwd
import stat
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from pointsman.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.releases.layout import Root

# The disk, and not the program, is to blame for these.
_OF_DISKS: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO}


def prepare(root: Root) -> None:
    """Make the folders that are missing.

    Raises:
        ReleaseError: the root belongs to somebody else, or no folder can be made.

    """
    check_owner(root)
    with told(root.path, "no site can be made"):
        for folder in root.folders():
            folder.mkdir(parents=True, exist_ok=True)


def check_owner(root: Root) -> None:
    """Refuse a root that is not ours: what we make could not be removed by its owner.

    Root is refused, too: it would run what somebody else may write.

    Raises:
        ReleaseError: with the owner, and what to do.

    """
    for folder in (root.path, root.releases, root.store):
        try:
            found = folder.stat()
        except FileNotFoundError:
            continue
        except OSError as error:
            message = f"{folder} cannot be used: {error.strerror}"
            raise ReleaseError(message) from error
        if found.st_uid != os.geteuid():
            owner, own = user(found.st_uid), user(os.geteuid())
            raise ReleaseError(
                f"{folder} belongs to {owner}, and this is {own}; run the command as "
                f"{owner} (sudo -u {owner}), or give the site away: "
                f"chown -R {own} {root.path}"
            )
        if found.st_mode & stat.S_IWOTH:
            message = f"anybody may write to {folder}; chmod o-w {folder}"
            raise ReleaseError(message)


def user(number: int) -> str:
    """Return the name of a user, or the number of one without."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def operator() -> str:
    """Return who gives the commands; with sudo, that is not whose rights they have."""
    own = user(os.geteuid())
    sudo = os.environ.get("SUDO_USER", "")
    return f"{sudo} as {own}" if sudo and sudo != own else own


@contextmanager
def told(place: Path, what: str) -> Iterator[None]:
    """Let errors of the file system say ``what`` has failed, and what to do.

    Raises:
        ReleaseError: in place of an OSError.

    """
    try:
        yield
    except OSError as error:
        raise trouble(error, place, what) from error


def trouble(error: OSError, place: Path, what: str) -> ReleaseError:
    """Return what an error of the file system at ``place`` means."""
    where = error.filename2 or error.filename or place
    advice = {
        errno.ENOSPC: "; make room, for example with `pointsman release prune`",
        errno.EDQUOT: "; make room, for example with `pointsman release prune`",
        errno.EROFS: "; mount it so that it can be written to",
    }.get(error.errno or 0, "")
    return ReleaseError(f"{what}: {error.strerror or error} ({where}){advice}")


def blames_the_disk(error: BaseException | None) -> bool:
    """Tell whether the disk, and not the program, is to blame for an error."""
    return isinstance(error, OSError) and error.errno in _OF_DISKS
