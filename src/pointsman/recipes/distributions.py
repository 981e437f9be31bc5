"""A distribution, as files for the ``lib/`` of a tree.  Effects: reads eggs.

Each egg is a folder of its own; ``lib/`` is one folder for all, as site-packages is:
one entry on the path, whatever the number of distributions, and namespace packages
need nothing.  What tells how an egg came onto the machine that built is left out.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# INSTALLER, REQUESTED and direct_url.json: how it came onto that machine.
_LEFT_OUT = {"direct_url.json", "INSTALLER", "REQUESTED"}


@dataclass(frozen=True)
class Distribution:
    """One distribution: a folder with its packages and its ``.dist-info``.

    ``project`` is the source of a develop egg, None for every other.  A ``crowded``
    folder has other distributions too, as the build's own site-packages has: then its
    RECORD says what belongs to it.
    """

    name: str
    version: str
    folder: Path
    project: Path | None = None
    crowded: bool = False

    def files(self) -> Iterator[tuple[Path, str]]:
        """Yield each file with its place below ``lib/``, in a fixed order.

        Bytecode is left out (it is compiled anew, see PEP 552) and so are ``.pth``
        files, which only count in site-packages.
        """
        for path in self._all():
            parts = path.relative_to(self.folder).parts
            if path.is_dir() or "__pycache__" in parts:
                continue
            if len(parts) == 1 and path.suffix == ".pth":
                continue
            if not parts[0].endswith(".dist-info"):
                yield path, "/".join(parts)
            elif parts[-1] not in _LEFT_OUT | {"RECORD"}:
                yield path, "/".join((self.metadata, *parts[1:]))

    def _all(self) -> list[Path]:
        if not self.crowded:
            return sorted(self.folder.rglob("*"))
        return [self.folder / row[0] for row in self._rows if row[0][:2] != ".."]

    @cached_property
    def _rows(self) -> list[list[str]]:
        """Return the lines of its own RECORD."""
        found: list[list[str]] = []
        for path in self.folder.glob("*.dist-info/RECORD"):
            if is_of(path.parent.name, self.name, self.version):
                with path.open(encoding="utf-8", newline="") as file:
                    found = sorted(row for row in csv.reader(file) if row)
        return found

    @property
    def metadata(self) -> str:
        """The name that the folder of its metadata has in ``lib/``."""
        return f"{self.name.replace('-', '_')}-{self.version}.dist-info"

    def record(self) -> str:
        """Return its RECORD, with the lines of what is in the tree and no others."""
        known = {relative for _, relative in self.files()}
        rows = [[f"{self.metadata}/RECORD", "", ""]]
        for path, *rest in self._rows:
            first, slash, deeper = path.partition("/")
            name = f"{self.metadata}{slash}{deeper}"
            name = name if first.endswith(".dist-info") else path
            if name in known:
                rows.append([name, *rest])
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(sorted(rows))
        return text.getvalue()


def is_of(folder: str, name: str, version: str) -> bool:
    """Tell whether ``NAME-VERSION[-PLATFORM].dist-info`` is of that distribution."""
    stem, _, rest = folder.removesuffix(".dist-info").partition("-")
    same = canonicalize_name(stem) == canonicalize_name(name)
    return same and rest.partition("-")[0] == version
