"""Who works with a ledger: its owner, never root for somebody else.  Effects."""

from __future__ import annotations

import os
import pwd
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.serving import rights

if TYPE_CHECKING:
    from pathlib import Path


def person() -> str:
    """Return who has typed the command, for the audit log; also through sudo."""
    asked_by = os.environ.get("SUDO_USER", "") if os.geteuid() == 0 else ""
    return asked_by or _name_of(os.getuid())


def _name_of(user: int) -> str:
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:
        return str(user)


def become_owner_of(folder: Path) -> None:
    """Stop being root, for good, where a folder belongs to somebody else.

    What root writes there the servers of that user could not read; and code that is
    loaded to vote shall not run with more rights than theirs.

    Raises:
        ReleaseError: the system does not know the owner.

    """
    if os.geteuid() != 0:
        return
    owner = _existing(folder).stat().st_uid
    if owner == 0:
        return
    try:
        who = pwd.getpwuid(owner)
    except KeyError as error:
        message = f"{folder} belongs to the user {owner}, whom this system has not"
        raise ReleaseError(message) from error
    rights.take(rights.Account(who, who.pw_gid))


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above it that there is."""
    return next(path for path in (folder, *folder.parents) if path.is_dir())
