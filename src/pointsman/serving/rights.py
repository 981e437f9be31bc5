"""``--user`` and ``--group``: root binds the sockets, somebody else serves.

Effects: changes the calling process for good; call it in the main thread, before
any code of the application runs.
"""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass

from pointsman.errors import ReleaseError


@dataclass(frozen=True, slots=True)
class Account:
    """Who shall serve; an id of None stays as it is."""

    user: pwd.struct_passwd | None
    group: int | None


def account(user: str | None, group: str | None) -> Account:
    """Look the names up; a group that is not named is the user's own.

    Raises:
        ReleaseError: the system does not know a name, or we are not root.

    """
    who = wanted(user, group)
    if os.geteuid() != 0 and _is_us(who):
        return who  # a server of that user has started us
    if (user or group) and os.geteuid() != 0:
        raise ReleaseError(
            "--user and --group need root; start as root or leave them out"
        )
    return who


def wanted(user: str | None, group: str | None) -> Account:
    """Look the names up, whoever we are.

    Raises:
        ReleaseError: the system does not know a name.

    """
    found = _user(user) if user else None
    return Account(found, _group(group) if group else found.pw_gid if found else None)


def _is_us(who: Account) -> bool:
    right_user = who.user is None or who.user.pw_uid == os.geteuid()
    return right_user and who.group in {None, os.getegid()}


def take(who: Account) -> None:
    """Become that account: supplementary groups, group, then user."""
    may = os.geteuid() == 0  # else we are that account already
    if may and who.group is not None:
        name = who.user.pw_name if who.user else None
        os.setgroups([]) if name is None else os.initgroups(name, who.group)
        os.setgid(who.group)
    if who.user is not None:
        if may:
            os.setuid(who.user.pw_uid)
        os.environ["HOME"] = who.user.pw_dir
        os.environ["USER"] = os.environ["LOGNAME"] = who.user.pw_name


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwuid(int(name)) if name.isdecimal() else pwd.getpwnam(name)
    except KeyError as error:
        message = f"--user {name}: this system has no such user"
        raise ReleaseError(message) from error


def _group(name: str) -> int:
    try:
        return int(name) if name.isdecimal() else grp.getgrnam(name).gr_gid
    except KeyError as error:
        message = f"--group {name}: this system has no such group"
        raise ReleaseError(message) from error
