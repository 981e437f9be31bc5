"""Why bytes are no package, told by whoever does not know its name.  Values."""

from __future__ import annotations

from dataclasses import dataclass

_MIB = 1024 * 1024


class Unfit(Exception):
    """What was read cannot be a package; the text says why, and what to do."""


class NoArtifact(Unfit):
    """What was read is neither a module nor an archive nor a wheel."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one artifact may cost.  Sizes in bytes."""

    entries: int = 20_000  # files and folders
    total: int = 256 * _MIB  # of all files, unpacked
    slack: int = 16 * _MIB  # unpacked, that any artifact may have ...
    ratio: int = 100  # ... and beyond it, so many times its own size
    directory: int = 16 * _MIB  # of the list of files
    told: int = _MIB  # of a manifest, or of a list of files and digests


LIMITS = Limits()
