"""What a sealed tree says of itself, and what makes two of them the same.  Values."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import posixpath
import re
import sys
import sysconfig
from dataclasses import dataclass, field
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from pointsman.errors import ReleaseError
from pointsman.releases.layout import Release

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE: Final = "MANIFEST.json"  # at the top of a tree; it does not list itself
FORMAT: Final = 1
FOLDER_MODE: Final = 0o555  # of every folder of a sealed tree
# PEP 3147: folder/__pycache__/module.cpython-311.pyc
_BYTECODE = re.compile(r"(.*/|)__pycache__/([^/.]+)\.[^/]+\.pyc\Z")
_DIGEST = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(frozen=True, slots=True)
class File:
    """One regular file: its SHA-256 in hex, its size in bytes, 0o444 or 0o555."""

    sha256: str
    size: int
    mode: int

    def __post_init__(self) -> None:
        """Refuse what is no digest, no size, or a mode that lets somebody write."""
        if not _DIGEST.match(self.sha256) or self.size < 0 or self.mode & ~0o555:
            message = f"no digest, size and mode: {self.sha256!r}, {self.size}, "
            raise ValueError(f"{message}{self.mode:o}")


@dataclass(frozen=True, slots=True)
class Python:
    """The interpreter that a tree is for: its version and where it really is."""

    version: str
    path: str

    @classmethod
    def running(cls) -> Python:
        """Return the one that runs this, not the virtual environment around it.

        A build's environment may be deleted; the interpreter behind it stays.
        """
        base: str = getattr(sys, "_base_executable", "") or sys.executable
        return cls(platform.python_version(), os.path.realpath(base))


@dataclass(frozen=True)
class Manifest:
    """All of a sealed tree.

    ``files`` and ``links`` map a path below the tree, with ``/``; the value of a
    link is its text, relative and inside of the tree.  ``requires`` maps each
    distribution to its version.  ``built_at`` is ISO 8601, UTC.
    """

    release: Release
    built_at: str
    built_by: str
    python: Python
    platform: str
    requires: Mapping[str, str] = field(repr=False)
    files: Mapping[str, File] = field(repr=False)
    links: Mapping[str, str] = field(repr=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse paths and links that leave the tree.

        Raises:
            ValueError: with the path.

        """
        for path in (*self.files, *self.links):
            if path != posixpath.normpath(path) or path.startswith(("/", "..")):
                message = f"{path!r} is not inside of the tree"
                raise ValueError(message)
        for path, target in self.links.items():
            if not inside(path, target):
                message = f"the link {path!r} leads out of the tree, to {target!r}"
                raise ValueError(message)
        for name in ("requires", "files", "links"):
            value = MappingProxyType(dict(sorted(getattr(self, name).items())))
            object.__setattr__(self, name, value)

    @cached_property
    def digest(self) -> str:
        """SHA-256 of `canonical`: equal for two trees that do the same."""
        return hashlib.sha256(self.canonical()).hexdigest()

    def canonical(self) -> bytes:
        """Return the JSON of what counts, sorted, without blanks.

        Not who built it and when, and not the bytecode of modules that are in the
        tree: marshal's bytes depend on what else the compiling process had in memory.
        """
        document = self.document()
        del document["built_at"], document["built_by"]
        for made in self.bytecode():
            del document["files"][made]
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return text.encode("ascii")

    def bytecode(self) -> dict[str, str]:
        """Return the bytecode files whose modules are in the tree, with those."""
        return {path: source for path in self.files if (source := self._source(path))}

    def _source(self, path: str) -> str:
        found = _BYTECODE.match(path)
        source = f"{found[1]}{found[2]}.py" if found else ""
        return source if source in self.files else ""

    def text(self) -> str:
        """Return what stands in the file, for people too."""
        document = sorted(self.document().items())
        return "{" + ",".join(f"\n{_pair(*item)}" for item in document) + "\n}\n"

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {
            "format": FORMAT,
            "name": self.release.name,
            "version": self.release.version,
            "built_at": self.built_at,
            "built_by": self.built_by,
            "python": {"version": self.python.version, "path": self.python.path},
            "platform": self.platform,
            "requires": dict(self.requires),
            "files": {path: _entry(file) for path, file in self.files.items()},
            "links": dict(self.links),
        }

    @property
    def size(self) -> int:
        """The bytes of all files; those that other trees share are counted, too."""
        return sum(file.size for file in self.files.values())


def _pair(key: str, value: object) -> str:
    """Return a line; for an object one for each of its members."""
    if not isinstance(value, dict) or not value:
        return f"{json.dumps(key)}: {json.dumps(value)}"
    lines = (f"\n {json.dumps(k)}: {json.dumps(v)}" for k, v in value.items())
    return f"{json.dumps(key)}: {{{','.join(lines)}}}"


def _entry(file: File) -> dict[str, object]:
    return {"sha256": file.sha256, "size": file.size, "mode": f"{file.mode:04o}"}


def inside(path: str, target: str) -> bool:
    """Tell whether the link at ``path`` with the text ``target`` stays in its tree."""
    if posixpath.isabs(target):
        return False
    end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
    return end != ".." and not end.startswith("../")


def here() -> str:
    """Return the platform that a tree is built for: ``linux-x86_64``."""
    return sysconfig.get_platform()


def read(tree: Path) -> Manifest:
    """Return what the tree says of itself; it must be called after its folder.

    Raises:
        ReleaseError: there is none, it is damaged, or it is another tree's.

    """
    path = tree / FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        message = f"{tree} has no {FILE}: it is no sealed release; build it again"
        raise ReleaseError(message) from error
    except OSError as error:
        raise ReleaseError(f"{path} cannot be read: {error.strerror}") from error
    manifest = parse(data, str(path))
    if str(manifest.release) != tree.name:
        raise ReleaseError(
            f"{path} is the manifest of {manifest.release}, not of {tree.name}; "
            "build the release again"
        )
    return manifest


def parse(data: bytes, origin: str) -> Manifest:
    """Return the manifest that is written so; ``origin`` is told in errors.

    Raises:
        ReleaseError: it is none, or a newer pointsman's.

    """
    try:
        return _manifest(json.loads(data))
    except (ValueError, KeyError, TypeError, AttributeError, ReleaseError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else error
        raise ReleaseError(
            f"{origin} is no manifest of pointsman ({why}); build the release again"
        ) from error


def _manifest(document: dict[str, Any]) -> Manifest:
    if document["format"] != FORMAT:
        message = f"its format is {document['format']!r}, not {FORMAT}"
        raise ValueError(message)
    files = {
        path: File(entry["sha256"], int(entry["size"]), int(entry["mode"], 8))
        for path, entry in document["files"].items()
    }
    return Manifest(
        release=Release(document["name"], document["version"]),
        built_at=document["built_at"],
        built_by=document["built_by"],
        python=Python(document["python"]["version"], document["python"]["path"]),
        platform=document["platform"],
        requires=document["requires"],
        files=files,
        links=document["links"],
    )
