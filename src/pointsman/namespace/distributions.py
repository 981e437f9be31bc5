"""What `importlib.metadata` finds of wheels that are deployed.  Effects.

A wheel asks for its own version by name, often when it is imported.  Its answer is
in its ``.dist-info`` folder, which is on no path: each version has its own.
"""

from __future__ import annotations

import re
from importlib.metadata import Distribution, DistributionFinder
from typing import TYPE_CHECKING

from pointsman.model import Kind
from pointsman.namespace import callers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.namespace.space import Namespace

_METADATA = re.compile(r"([^/-]+)-[^/]+\.dist-info/METADATA\Z")


class VersionDistribution(Distribution):
    """The metadata of one version of a wheel."""

    def __init__(self, space: Namespace, folder: str) -> None:
        """Take the wheel's namespace, and its ``.dist-info`` folder."""
        self._space = space
        self._folder = folder

    def read_text(self, filename: object) -> str | None:
        """Return a file of the ``.dist-info`` folder; None if there is none."""
        files = self._space.package.artifact.files
        content = files.get(f"{self._folder}/{filename}")
        return content.decode() if content is not None else None

    def locate_file(self, path: object) -> Path:
        """Return where a file of the wheel is laid out."""
        return self._space.root / str(path)


def found(context: DistributionFinder.Context) -> Iterator[Distribution]:
    """Return the wheels among the caller's version and all that it imports from."""
    space = callers.nearest()
    wanted = None if context.name is None else _plain(context.name)
    reach = space.reach() if space is not None else ()
    for one in (one for one in reach if one.package.artifact.kind is Kind.WHEEL):
        for path in one.package.artifact.files:
            match = _METADATA.match(path)
            if match and wanted in (None, _plain(match[1])):
                yield VersionDistribution(one, path.rpartition("/")[0])


def _plain(name: str) -> str:
    """Return a name as all its spellings have it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()
