"""Where everything of a site lies, and what a release is called.  Values."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import total_ordering
from typing import TYPE_CHECKING

from packaging.version import InvalidVersion, Version

from pointsman.errors import ReleaseError

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}\Z")


@total_ordering
@dataclass(frozen=True, slots=True)
class Release:
    """One version of a site; ``str()`` is the name of its folder.

    Releases are ordered by name and then by version (PEP 440): 1.10.0 is newer
    than 1.9.0.  A version has one spelling, so one release has one folder.
    """

    name: str
    version: str

    def __post_init__(self) -> None:
        """Refuse what cannot be the name of a folder, or is two at once.

        Raises:
            ReleaseError: tells what is wrong, and the right spelling if there is one.

        """
        if not _NAME.match(self.name):
            raise ReleaseError(
                f"{self.name!r} cannot be the name of a site: letters, digits, '_', "
                "'.' and '-' only, at most 100, and a letter or a digit first"
            )
        try:
            canonical = str(Version(self.version))
        except InvalidVersion as error:
            raise ReleaseError(
                f"{self.name}: {self.version!r} is no version (PEP 440); "
                "write one like 1.4.0 or 1.5.0rc1"
            ) from error
        if canonical != self.version:
            raise ReleaseError(
                f"{self.name}: write the version {self.version!r} as {canonical!r}"
            )

    @classmethod
    def parse(cls, text: str) -> Release:
        """Return the release that a folder is called after: ``mysite-1.4.0``.

        Raises:
            ReleaseError: no release is called so.

        """
        name, dash, version = text.rpartition("-")
        if not dash:
            raise ReleaseError(f"{text!r} names no release; write NAME-VERSION")
        return cls(name, version)

    def __str__(self) -> str:
        return f"{self.name}-{self.version}"

    def __lt__(self, other: object) -> bool:
        if not isinstance(other, Release):
            return NotImplemented
        return self._order() < other._order()

    def _order(self) -> tuple[str, Version, str]:
        # 1.0 and 1.0.0 are equal for PEP 440, and two folders.
        return self.name, Version(self.version), self.version


@dataclass(frozen=True, slots=True)
class Root:
    """The paths of one site.  Nothing is looked at."""

    path: Path

    @property
    def releases(self) -> Path:
        """The folder of all sealed trees."""
        return self.path / "releases"

    def tree(self, release: Release) -> Path:
        """Return where the tree of a release is; processes run from this path."""
        return self.releases / str(release)

    @property
    def current(self) -> Path:
        """The symbolic link to what is committed; read once, by ``bin/start``."""
        return self.path / "current"

    @property
    def start(self) -> Path:
        """What starts the committed release; names none."""
        return self.path / "bin" / "start"

    @property
    def log(self) -> Path:
        """The record of what was done, one JSON object a line."""
        return self.path / "releases.log"

    @property
    def shared(self) -> Path:
        """What outlives all releases."""
        return self.path / "shared"

    @property
    def local_settings(self) -> Path:
        """The settings of this machine, which every rendered ini includes."""
        return self.shared / "etc" / "local.ini"

    @property
    def var(self) -> Path:
        """Sockets, pid files, the ledger."""
        return self.shared / "var"

    @property
    def logs(self) -> Path:
        """The log files of the servers."""
        return self.shared / "log"

    @property
    def store(self) -> Path:
        """The store's own folder; nobody else writes to it."""
        return self.path / ".store"

    @property
    def lock(self) -> Path:
        """Locked by the one command that changes something."""
        return self.store / "lock"

    @property
    def journal(self) -> Path:
        """What an activation that is under way has done so far."""
        return self.store / "journal.json"

    @property
    def line(self) -> Path:
        """The releases that were committed, newest first."""
        return self.store / "line.json"

    @property
    def quarantine(self) -> Path:
        """One file for each release that must not be activated."""
        return self.store / "quarantine"

    @property
    def trash(self) -> Path:
        """Trees on their way out; deleted by whoever comes next."""
        return self.store / "trash"

    def folders(self) -> tuple[Path, ...]:
        """Return all folders of a site, outer ones first."""
        own = (self.store, self.quarantine, self.trash)
        shared = (self.shared, self.local_settings.parent, self.var, self.logs)
        return (self.path, self.releases, *shared, *own)
