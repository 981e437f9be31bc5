"""What a folder of a developer holds to be deployed, and what of it changed.  Effects.

A unit is a module, an archive or a wheel that lies in the folder; or a folder with a
``service.ini``, which is packed into an archive: the watched one itself, or one in it.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from pointsman import pack
from pointsman.cli import uploads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pointsman.cli.uploads import Upload

_MANIFEST = "service.ini"
_SUFFIXES = frozenset({".py", ".sar", ".zip", ".whl"})
_STILL = 0.02  # seconds for which a file that is being written must not change
_LOOKS = 50  # after so many it is taken as it is

Print = tuple[tuple[str, int, int], ...]


@dataclass(frozen=True, slots=True)
class Unit:
    """A file, or a folder to be packed; ``name`` is what it is deployed as."""

    path: Path

    @property
    def is_folder(self) -> bool:
        """Tell whether it must be packed."""
        return self.path.is_dir()

    @property
    def name(self) -> str:
        """Return the name of the file that is deployed."""
        return f"{self.path.name}.sar" if self.is_folder else self.path.name

    def fingerprint(self) -> Print:
        """Return what changes with each save; empty when there is nothing yet."""
        found = []
        for path in self._files():
            try:
                stat = path.stat()
            except OSError:
                continue
            if stat.st_size or self.is_folder:
                found.append((str(path), stat.st_mtime_ns, stat.st_size))
        return tuple(sorted(found))

    def _files(self) -> Iterable[Path]:
        if not self.is_folder:
            return [self.path]
        below = self.path.rglob("*")
        return [p for p in below if "__pycache__" not in p.parts and p.is_file()]


class Units:
    """The units of a folder.  One thread."""

    def __init__(self, folder: Path) -> None:
        """Look at nothing yet."""
        self._folder = folder.absolute()
        self._known: dict[Unit, Print] = {}

    def changed(self) -> list[Unit]:
        """Return the units that were saved since the last call; wait for half ones."""
        before = self._prints()
        for _ in range(_LOOKS):
            if before == self._known:
                return []
            time.sleep(_STILL)
            now = self._prints()
            if now == before:
                break
            before = now
        changed = [u for u, found in before.items() if self._known.get(u) != found]
        self._known = before
        return changed

    def forget(self, units: Iterable[Unit]) -> None:
        """Return these again with the next call."""
        for unit in units:
            self._known.pop(unit, None)

    def _prints(self) -> dict[Unit, Print]:
        found = {unit: unit.fingerprint() for unit in self._all()}
        return {unit: each for unit, each in found.items() if each}

    def _all(self) -> list[Unit]:
        if (self._folder / _MANIFEST).is_file():
            return [Unit(self._folder)]
        return [Unit(path) for path in sorted(self._folder.iterdir()) if _fits(path)]


def _fits(path: Path) -> bool:
    if path.name.startswith((".", "#", "~")) or path.name.endswith("~"):
        return False
    if path.is_dir():
        return (path / _MANIFEST).is_file()
    return path.suffix in _SUFFIXES


@contextmanager
def opened(units: Sequence[Unit]) -> Iterator[list[Upload]]:
    """Open all of them, packed where they must be, for as long as the block takes.

    Raises:
        ArtifactError: one cannot be packed or read.

    """
    with ExitStack() as stack:
        place = Path(stack.enter_context(TemporaryDirectory(prefix="pointsman-")))
        paths = []
        for unit in units:
            path = unit.path
            if unit.is_folder:
                path = place / unit.name
                pack.pack(unit.path, path)
            paths.append(path)
        yield stack.enter_context(uploads.opened(paths))
