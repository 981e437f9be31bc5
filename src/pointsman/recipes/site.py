"""One release of one site, and the site around it.  Effects: makes what is shared."""

from __future__ import annotations

import grp
import os
import pwd
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman import durable
from pointsman.errors import ConfigError, ReleaseError
from pointsman.releases import sites
from pointsman.releases.layout import Release, Root

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.releases.manifest import Python

_START = """\
#!/bin/sh
# Starts the committed release of this site; names none.  `current` is read once, and
# what runs then runs from the real path, wherever `current` leads to later.
#
#   bin/start                in the foreground, for systemd
#   bin/start --daemon       in the background; returns when it answers
#   bin/start status         any words of `paster serve`, behind its ini
set -eu
root=$(dirname "$(dirname "$(readlink -f "$0")")")
tree=$(readlink -e "$root/current") || {
    echo "$root: no release is committed; see: pointsman release activate" >&2
    exit 1
}
for word; do
    case $word in
    --daemon | start | restart)
        set -- --log-file "$root/shared/log/paster.log" "$@"
        break
        ;;
    esac
done
if [ "$(id -u)" = 0 ]; then  # never as root what belongs to somebody else
    owner=$(stat -c %U "$root/shared/var")
    [ "$owner" = root ] || set -- --user "$owner" "$@"
fi
set -- --pid-file "$root/shared/var/paster.pid" "$@"
exec "$tree/bin/paster" serve "$tree/etc/deploy.ini" "$@"
"""
_LOCAL_INI = """\
# Settings of this machine.  A section here is laid over the section of the same name in
# the deploy.ini of the release, and wins.  Releases come and go; this file stays.
#
# [app:main]
# resource.guestbook = zeo://localhost:8100
#
# [server:main]
# threads = 16
"""


@dataclass(frozen=True, slots=True)
class Site:
    """A release and where it goes; ``python`` is what its scripts start with.

    ``user`` is who serves it, "" for whoever builds.
    """

    path: Path
    release: Release
    python: Python
    user: str = ""

    @property
    def root(self) -> Root:
        """The paths of the site."""
        return Root(self.path)

    @property
    def tree(self) -> Path:
        """Where the release will be."""
        return self.root.tree(self.release)

    def variables(self) -> dict[str, str]:
        """Return what templates can name."""
        root = self.root
        return {
            "root": str(root.path),
            "name": self.release.name,
            "version": self.release.version,
            "tree": str(self.tree),
            "shared": str(root.shared),
            "var": str(root.var),
            "log": str(root.logs),
            "local": str(root.local_settings),
            "user": self.user or sites.user(os.geteuid()),
            "group": self._group(),
            "python": self.python.path,
            "python_version": self.python.version.rpartition(".")[0],
        }

    def prepare(self) -> None:
        """Make what outlives the release, as far as it is missing.

        ``bin/start`` is kept up to date; nothing else that is there is touched.

        Raises:
            ReleaseError: it cannot be written.
            ConfigError: there is no such user.

        """
        root = self.root
        try:
            sites.prepare(root)
            _keep_start(root.start)
            if not root.local_settings.exists():
                durable.replace(root.local_settings, _LOCAL_INI, mode=0o640)
                self._let_read(root.local_settings)
            for folder in (root.var, root.logs):
                self._give(folder)
        except OSError as error:
            raise ReleaseError(f"{root.path} cannot be made a site: {error}") from error

    def _let_read(self, path: Path) -> None:
        """Let the group of who serves read a file; it may hold passwords."""
        account = self._account()
        if account is not None:
            os.chown(path, -1, account.pw_gid)

    def _give(self, folder: Path) -> None:
        """Give an empty folder to who serves: nobody has it yet."""
        account = self._account()
        if account is not None and not any(folder.iterdir()):
            os.chown(folder, account.pw_uid, account.pw_gid)

    def _group(self) -> str:
        """Return the group of who serves."""
        try:
            number = pwd.getpwnam(self.user).pw_gid if self.user else os.getegid()
            return grp.getgrgid(number).gr_name
        except KeyError:
            return self.user or str(os.getegid())

    def _account(self) -> pwd.struct_passwd | None:
        """Return who serves, if it is somebody else and we may give files away."""
        if not self.user or os.geteuid():
            return None
        try:
            return pwd.getpwnam(self.user)
        except KeyError as error:
            message = f"user = {self.user}: there is no such user on this machine"
            raise ConfigError(message) from error


def _keep_start(path: Path) -> None:
    if not path.exists() or path.read_text("utf-8") != _START:
        path.parent.mkdir(exist_ok=True)
        durable.replace(path, _START, mode=0o755)
