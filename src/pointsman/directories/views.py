"""What one look at a directory is compared with, and what that shows.  Effects."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.sources import archives

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pointsman.cluster import Contents, Entry, Sighting
    from pointsman.sources.arrivals import Look


@dataclass(frozen=True, slots=True)
class Known:
    """What was found out about a file that has not changed since."""

    mark: tuple[int, ...]
    digest: str
    package: str = ""
    refusal: str = ""  # why it is no package


@dataclass(frozen=True, slots=True)
class View:
    """What one look is compared with: the record, and what serves."""

    look: Look
    recorded: Mapping[str, Sighting]
    active: Contents
    known: Mapping[str, Known]  # the whole files

    def packages(self) -> dict[str, str]:
        """Return the packages of all files that are there, by file."""
        found = {name: one.package for name, one in self.known.items() if one.package}
        for name in self.look.files.keys() - self.known.keys():
            if name in self.recorded:  # it is being replaced
                found[name] = self.recorded[name].package
        return found

    def became(self) -> dict[str, str]:
        """Return the files that are another package than was recorded, and which."""
        return {
            name: one.package
            for name, one in self.known.items()
            if self.is_another(name)
        }

    def is_another(self, name: str) -> bool:
        """Tell whether a whole file is another package than was recorded."""
        one = self.known[name]
        return archives.is_another(self.recorded.get(name), one.digest, one.package)


def digest_of(path: Path) -> str:
    """Return the SHA-256 of a file, read now.

    Raises:
        OSError: it cannot be read.

    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def clash(name: str, package: str, serving: Entry) -> str:
    """Say that a package is served from another kind of source, which keeps it."""
    return (
        f"{name} is the package {package}, which is served from {serving.file} "
        f"({serving.source}) and keeps the name; undeploy that, or give one of the two "
        "another name"
    )


def differing(view: View) -> dict[str, str]:
    """Return the files whose recorded content is not what serves, and what does."""
    found = {}
    for name, seen in view.recorded.items():
        serving = view.active.entries.get(seen.package)
        if name not in view.known or view.known[name].digest != seen.digest:
            continue
        if serving is None:
            found[name] = f"{seen.package} is not served: it failed, or was undeployed"
        elif serving.digest != seen.digest:
            found[name] = (
                f"another {seen.package} is served, from {serving.file} "
                f"({serving.source}): this one failed, or was replaced or rolled back"
            )
    return found
