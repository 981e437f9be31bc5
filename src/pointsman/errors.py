"""The errors of pointsman, sorted by whose fault they are.  Values.

::

    Error
    ├── ConfigError      the operator: an ini, a service list, a file's mode
    ├── ArtifactError    the artifact: what was read cannot be a package
    │   ├── KindError    ... it is none: no module, no archive, no wheel
    │   └── ClashError   two owners for one name, or two services for one path
    ├── LoadError        the service's own code failed while it was loaded
    │   └── StuckError   ... and has not come back from it
    ├── ServiceError     the service's own code answered nonsense
    ├── LedgerError      the database: not there, locked, full, damaged, too new
    │   └── DamagedError  one artifact of it is missing, or not what it was
    ├── ReleaseError     this machine: sockets, processes, trees, disks
    └── Refused          the caller of the control surface

Each takes typed arguments and writes its own sentence: what failed, on what,
and what to do.
"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class Error(Exception):
    """The root: everything that pointsman raises on purpose."""


class ConfigError(Error):
    """The operator's files say something that cannot be done."""


class ArtifactError(Error):
    """The bytes of a package cannot be used as one."""

    def __init__(self, package: str, origin: str, reason: str) -> None:
        """Name the ``package``, the file or folder it is from, and the reason."""
        super().__init__(f"{package} ({origin}): {reason}")
        self.package = package
        self.origin = origin
        self.reason = reason


class KindError(ArtifactError):
    """The bytes are no artifact at all: no module, no archive and no wheel."""


class ClashError(ArtifactError):
    """A name or a path that is somebody else's already; the first one keeps it."""


class LoadError(Error):
    """A package's own code failed; ``traceback`` is its text, without our frames."""

    def __init__(self, package: str, reason: str, traceback: str = "") -> None:
        """Tell which ``package`` failed and why."""
        super().__init__(f"{package}: {reason}")
        self.package = package
        self.reason = reason
        self.traceback = traceback


class StuckError(LoadError):
    """Loading has not come back; only a restart of this process frees it."""


class ServiceError(Error):
    """A service answered something that WSGI or its contract does not allow."""

    def __init__(self, service: str, origin: str, reason: str) -> None:
        """Name the ``service`` and the file that it comes from."""
        super().__init__(f"the service {service} ({origin}) {reason}")
        self.service = service
        self.origin = origin
        self.reason = reason


class ReleaseError(Error):
    """This machine does not allow it: a port, a process, a file, a disk."""


class LedgerError(Error):
    """The ledger cannot be used; what serves goes on serving."""

    def __init__(self, url: str, reason: str) -> None:
        """Name the database, without its password, and what to do."""
        super().__init__(f"the ledger {url}: {reason}")
        self.url = url
        self.reason = reason


class DamagedError(LedgerError):
    """The ledger can be used, and has no good copy of an artifact."""


class Refused(Error):
    """Whoever asked for a change does not get it: a clash, a lock, a wrong token."""

    def __init__(
        self, status: int, title: str, detail: str, *, packages: Iterable[str] = ()
    ) -> None:
        """Carry the HTTP ``status`` and the problem document's texts (RFC 9457).

        ``packages`` are those of several that it is about, where that is known: who
        asked for all of them may ask again for the others.
        """
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.packages = frozenset(packages)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known word, or nothing."""
    near = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f"; did you mean {near[0]!r}?" if near else ""
