"""What is deployed, and what became of it: frozen, valid by construction.  Values."""

from __future__ import annotations

import enum
import hashlib
import posixpath
import re
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from pointsman.errors import ArtifactError

if TYPE_CHECKING:
    from collections.abc import Mapping

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}\Z")


class Kind(enum.StrEnum):
    """How an artifact is laid out."""

    MODULE = "module"  # one .py file
    TREE = "tree"  # a folder: a package of modules with what lies beside them
    ARCHIVE = "archive"  # a .sar or .zip with a service.ini
    WHEEL = "wheel"  # a .whl, its services from entry points
    HOST = "host"  # a module of the environment: used as it is, no bytes of ours

    @classmethod
    def _missing_(cls, value: object) -> Kind | None:
        """Keep what a newer release calls a kind, for those who pass it on."""
        if not isinstance(value, str):
            return None
        kind = str.__new__(cls, value)
        kind._name_, kind._value_ = value, value
        return kind

    @property
    def is_known(self) -> bool:
        """Tell whether this release can use it."""
        return self.name in type(self).__members__


@dataclass(frozen=True)
class Artifact:
    """The immutable bytes of one version of a package.

    ``files`` maps a path below the import root, with ``/``, to its bytes.
    ``origin`` is where they were read; it is told in messages and is no part of
    the identity.  ``given_digest`` is that of the file an archive or a wheel came
    in; without it, the files make the digest.
    """

    package: str
    kind: Kind
    files: Mapping[str, bytes] = field(repr=False)
    origin: str = field(compare=False, default="memory")
    given_digest: str = ""

    def __post_init__(self) -> None:
        """Refuse a name or a path that could leave its place."""
        if not _NAME.match(self.package):
            raise ArtifactError(
                self.package,
                self.origin,
                "a package's name has letters, digits, '_', '.' and '-' only, at "
                "most 200 of them; rename it",
            )
        for path in self.files:
            if path != posixpath.normpath(path) or path.startswith(("/", "..")):
                raise ArtifactError(
                    self.package, self.origin, f"{path!r} leaves the artifact"
                )
        object.__setattr__(self, "files", MappingProxyType(dict(self.files)))

    @cached_property
    def digest(self) -> str:
        """SHA-256, 64 hex digits: of the one file, or of all paths and files."""
        if self.kind is Kind.HOST:
            return ""
        if self.given_digest:
            return self.given_digest
        if self.kind is Kind.MODULE:
            return hashlib.sha256(next(iter(self.files.values()))).hexdigest()
        return self.files_digest

    @cached_property
    def files_digest(self) -> str:
        """SHA-256 of all paths and files, whatever they came in."""
        total = hashlib.sha256()
        for path in sorted(self.files):
            one = hashlib.sha256(self.files[path]).hexdigest()
            total.update(f"{one}  {path}\n".encode())
        return total.hexdigest()


@dataclass(frozen=True, slots=True)
class Declared:
    """One service as a manifest declares it: the ``[service:NAME]`` of an archive.

    ``use`` is ``module:callable``; with ``factory`` the callable makes the
    application (PasteDeploy).  Without ``path`` the service's own default counts.
    ``settings`` are those of the manifest; the ini's win over them.
    """

    name: str
    use: str
    path: str = ""
    factory: bool = False
    settings: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Package:
    """One package as a source wants it served.

    ``offers`` names the modules whose services are mounted; a package that only
    others import offers none.  ``declared`` are services that a manifest names
    instead.  ``source`` says which line or folder asked for it.
    """

    name: str
    artifact: Artifact
    offers: tuple[str, ...] = ()
    source: str = ""
    declared: tuple[Declared, ...] = ()

    def same_as(self, other: Package) -> bool:
        """Tell whether serving ``other`` instead would change nothing."""
        return self is other or (
            self.artifact.digest == other.artifact.digest
            and self.offers == other.offers
        )


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that a source could not use; everything else goes on."""

    where: str  # file, and line where there is one
    reason: str
    package: str = ""  # the package meant, when there is a name for it
    folder: str = ""  # the folder that could not be read, with all that is in it


@dataclass(frozen=True, slots=True)
class Scan:
    """What one look at a source found.

    A package named by a problem, or from a folder named by one, is *held*: what
    serves of it goes on serving.  So is every package when the scan is not
    ``complete``, because the list itself could not be read.
    """

    packages: tuple[Package, ...] = ()
    problems: tuple[Problem, ...] = ()
    complete: bool = True


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a service is reached."""

    service: str
    path: str  # "" is the root; otherwise "/a/b", decoded, as people write it
    package: str
    origin: str


Status = Literal["added", "updated", "unchanged", "removed", "failed", "host"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a reload did to one package.

    ``reason`` says why: what failed, or which import made it load again.
    """

    package: str
    status: Status
    reason: str = ""
    traceback: str = ""
    origin: str = ""
    digest: str = ""
    services: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """The answer to one reload: what really happened, in this process.

    ``generation`` is the ledger's that serves, ``switches`` how often this process
    has switched.  ``shadowed`` are static packages whose name the generation has.
    ``request`` numbers the reload where all nodes were asked for it; of a start
    (``is_start``), the last one that had been asked for before.
    ``directories`` is what was found in watched directories.
    """

    pid: int
    generation: int
    duration_ms: float
    outcomes: tuple[Outcome, ...]
    problems: tuple[Problem, ...] = ()
    stuck: tuple[str, ...] = ()
    switches: int = 0
    shadowed: tuple[str, ...] = ()
    request: int = 0
    is_start: bool = False
    directories: tuple[object, ...] = ()

    @property
    def failed(self) -> bool:
        """Tell whether anything at all was refused."""
        refused = any(o.status == "failed" for o in self.outcomes)
        return refused or bool(self.problems)
