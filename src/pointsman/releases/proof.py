"""What a release must show before anybody is served from it.  Effects.

Nothing of it changes anything: the files are those of the manifest, the serving user
can read them, and the release's own self-test passes as that user.

The self-test is ``bin/self-test`` of the tree where there is one, else
``bin/pointsman check etc/deploy.ini``.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import tempfile
from contextlib import suppress
from typing import IO, TYPE_CHECKING

from pointsman.errors import ReleaseError

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.releases.layout import Release, Root
    from pointsman.releases.server import Account
    from pointsman.releases.store import Store

_SHOWN = 3  # files that differ, in the sentence; `release verify` shows all
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class UnprovenError(ReleaseError):
    """The release cannot be trusted to serve; ``output`` is what its self-test said."""

    def __init__(self, release: Release, reason: str, output: str = "") -> None:
        """Tell that nothing was changed."""
        super().__init__(f"{release} is not activated, nothing has changed: {reason}")
        self.reason = reason
        self.output = output


def files(store: Store, release: Release) -> None:
    """Compare the tree with its manifest.

    Raises:
        UnprovenError: a file differs.

    """
    wrong = store.verify(release)
    if wrong:
        shown = "; ".join(wrong[:_SHOWN])
        more = f"; and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise UnprovenError(release, f"its tree is not what was built: {shown}{more}")


def reach(store: Store, release: Release, account: Account) -> str:
    """See whether the serving user can read all of it; return what is not known.

    Raises:
        UnprovenError: a folder or file keeps the user out; says which.

    """
    if os.geteuid() not in {0, account.uid}:
        return f"only root can see whether {name(account)} may read the tree"
    obstacle = store.readable_by(release, account.uid, account.gid)
    if obstacle:
        reason = f"{name(account)}, who shall serve it, cannot read it: {obstacle}"
        raise UnprovenError(release, reason)
    return ""


def self_test(
    root: Root, release: Release, account: Account, *, timeout: float
) -> tuple[str, ...]:
    """Run the release's own test as the serving user; return the command, if any.

    Raises:
        UnprovenError: it failed, or took longer than ``timeout`` seconds.

    """
    command = _command(root.tree(release))
    if command:
        with tempfile.TemporaryFile() as output:
            reason = _run(command, root.path, account, output, timeout)
            output.seek(0)
            said = output.read().decode(errors="replace")
        if reason:
            raise UnprovenError(release, f"its self-test {reason}", said)
    return command


def name(account: Account) -> str:
    """Return what people call the user."""
    with suppress(KeyError):
        return pwd.getpwuid(account.uid).pw_name
    return f"user {account.uid}"


def _command(tree: Path) -> tuple[str, ...]:
    own, check, ini = (
        tree.joinpath(*words)
        for words in (("bin", "self-test"), ("bin", "pointsman"), ("etc", "deploy.ini"))
    )
    if own.is_file():
        return (str(own),)
    if check.is_file() and ini.is_file():
        return (str(check), "check", str(ini))
    return ()


def _run(
    command: tuple[str, ...],
    folder: Path,
    account: Account,
    output: IO[bytes],
    timeout: float,
) -> str:
    """Run it; return why it did not pass, or nothing."""
    # Only root can become somebody, and it stays itself where it serves itself.
    who = account if os.geteuid() == 0 and account.uid != 0 else None
    try:
        process = subprocess.Popen(  # noqa: S603 - a command of a verified tree
            command,
            cwd=folder,
            env=_environment(account),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            user=who.uid if who else None,
            group=who.gid if who else None,
            extra_groups=_groups(who) if who else None,
        )
    except OSError as error:
        return f"cannot be started: {error}"
    try:
        code = process.wait(timeout)
    except subprocess.TimeoutExpired:
        return f"took longer than {timeout:g} s"
    finally:
        # What it has started goes with it, also when somebody has lost patience.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"failed with exit code {code}" if code else ""


def _groups(account: Account) -> list[int]:
    with suppress(KeyError):
        user = pwd.getpwuid(account.uid).pw_name
        return os.getgrouplist(user, account.gid)
    return [account.gid]


def _environment(account: Account) -> dict[str, str]:
    """Return what a service of this user would have, and nothing of who calls."""
    found = {"PATH": _PATH, "LANG": os.environ.get("LANG", "C.UTF-8")}
    with suppress(KeyError):
        known = pwd.getpwuid(account.uid)
        found |= {"HOME": known.pw_dir, "USER": known.pw_name}
    return found
