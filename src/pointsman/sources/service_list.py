"""The service list: a file that names directories, files and modules.  Effects.

One entry on a line; ``#`` begins a comment, also behind an entry.  What an entry
is, is decided by what it *is*, never by how it ends: a directory, a ``.py`` file,
or a flat or dotted module name.  Paths are relative to the list.

A bad entry is a problem with file and line; the others go on.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from dataclasses import dataclass, replace
from functools import partial
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import ArtifactError, ConfigError
from pointsman.model import Artifact, Kind, Package, Problem, Scan
from pointsman.namespace.table import module_table
from pointsman.reading import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_COMMENT = re.compile(r"(?:^|\s)#.*")
_MODULE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*\Z")


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of the list."""

    text: str
    line: int


def entries(text: str) -> Iterator[Entry]:
    """Return the lines that say something, without comments and blanks."""
    for number, line in enumerate(text.splitlines(), 1):
        entry = _COMMENT.sub("", line).strip()
        if entry:
            yield Entry(entry, number)


class ServiceList:
    """Looks at the list and all that it names.  One thread at a time."""

    def __init__(
        self, path: Path | None, extra_paths: Callable[[], tuple[Path, ...]]
    ) -> None:
        """Read ``path`` at each scan; None is an empty list."""
        self.path = path
        self._extra_paths = extra_paths
        self._reader = Reader()
        self._known_folders: set[Path] = set()  # entries that were directories once

    def require(self) -> None:
        """Read the list and do nothing with it.

        Raises:
            ConfigError: it is configured, and cannot be read.

        """
        try:
            if self.path is not None:
                self.path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            message = f"service_sources = {self.path}: {_told(error)}"
            raise ConfigError(message) from error

    def scan(self) -> Scan:
        """Return what the list wants served now.  Reads files; may block on them."""
        if self.path is None:
            return Scan()
        try:
            text = self.path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = f"the service list cannot be read: {_told(error)}"
            return Scan((), (Problem(str(self.path), reason),), complete=False)
        look = _Look(self.path, self._extra_paths(), self._reader, self._known_folders)
        return look.at(text)


def folders_of(path: Path | None) -> tuple[Path, ...]:
    """Return the directories that the list names, as far as it can be read."""
    if path is None:
        return ()
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError):
        return ()
    found = (_place(path, entry.text) for entry in entries(text))
    return tuple(folder for folder in found if _is_folder(folder))


def _place(path: Path, text: str) -> Path:
    """Return where an entry leads; without ``..``, if that is the same place.

    It is another one where a link is followed by ``..``.
    """
    given = path.parent / text
    if "\0" in text:
        return given  # and let whoever looks there tell
    tidy = Path(os.path.normpath(given))
    same = os.path.realpath(given) == os.path.realpath(tidy)
    return tidy if same else given


class _Look:
    """One scan: what was found so far, and by which line."""

    def __init__(
        self,
        path: Path,
        extra: tuple[Path, ...],
        reader: Reader,
        known_folders: set[Path],
    ) -> None:
        self._path = path
        self._known_folders = known_folders
        self._extra = extra
        self._reader = reader
        self._packages: dict[str, Package] = {}
        self._problems: list[Problem] = []
        self._folders: list[Path] = []

    def at(self, text: str) -> Scan:
        found = list(entries(text))
        self._folders = [
            p for e in found if _is_folder(p := _place(self._path, e.text))
        ]
        self._known_folders.update(self._folders)
        for entry in found:
            self._entry(entry)
        return Scan(tuple(self._packages.values()), tuple(self._problems))

    def _entry(self, entry: Entry) -> None:
        path = _place(self._path, entry.text)
        if _is_folder(path):
            self._directory(entry, path)
        elif _is_file(path):
            self._file(entry, path)
        elif path in self._known_folders:  # also if a module has that name, like site
            self._problem(entry, f"the directory {path} is gone", folder=str(path))
        elif _MODULE.match(entry.text) and not self._is_lost_file(entry.text):
            self._module(entry, entry.text)
        elif path.suffix == ".py" or not path.name:
            self._problem(entry, f"there is no file {path}", path.stem)
        else:
            reason = f"there is no directory or file {path}, and no module of that name"
            self._problem(entry, reason, folder=str(path))

    def _is_lost_file(self, text: str) -> bool:
        """Tell whether ``text`` is a file that is gone, and no module called py."""
        return text.endswith(".py") and not self._portions(text.partition(".")[0])

    def _directory(self, entry: Entry, folder: Path) -> None:
        if _is_file(folder / "__init__.py"):  # it is a package itself
            self._add(
                entry, lambda: self._reader.tree([folder]), folder.name, offers=True
            )
            return
        try:
            inside = sorted(folder.iterdir())
        except OSError as error:
            self._problem(entry, _told(error), folder=str(folder))
            return
        for path in inside:
            if path.suffix == ".py" and path.name[0] not in "._":
                self._file(entry, path)
        for path in inside:
            if _is_package(path):
                self._add(
                    entry, partial(self._tree, path.name), path.name, offers=False
                )

    def _file(self, entry: Entry, path: Path) -> None:
        if path.suffix != ".py":
            reason = f"{path} is a file, but no Python module (.py)"
            self._problem(entry, reason)
        elif not _is_file(path):  # a link to nothing, a folder, a pipe
            self._problem(entry, f"{path} is no file that can be read", path.stem)
        elif not path.stem.isidentifier():
            reason = f"{path.name} cannot be imported; rename it to a Python identifier"
            self._problem(entry, reason)
        else:
            self._add(entry, lambda: self._reader.module(path), path.stem, offers=True)

    def _module(self, entry: Entry, name: str) -> None:
        top = name.partition(".")[0]
        if top in self._packages and self._packages[top].artifact.kind is Kind.TREE:
            self._offer(entry, self._packages[top], name)
            return
        file = self._flat(top)
        if self._portions(top):
            self._add(entry, lambda: self._tree(top), top, offers=False)
        elif file is not None and name == top:
            self._add(entry, lambda: self._reader.module(file), top, offers=True)
        else:
            self._host(entry, top, name)
            return
        if top in self._packages:
            self._offer(entry, self._packages[top], name)

    def _offer(self, entry: Entry, package: Package, name: str) -> None:
        if name not in module_table(package.artifact.files):
            reason = f"{package.artifact.origin} has no module {name}"
            self._problem(entry, reason, package.name)
        elif name not in package.offers:
            offers = (*package.offers, name)
            self._packages[package.name] = replace(package, offers=offers)

    def _host(self, entry: Entry, top: str, name: str) -> None:
        spec = PathFinder.find_spec(top, sys.path)
        if spec is None:
            where = ", ".join(str(p) for p in (*self._folders, *self._extra))
            reason = (
                f"there is no directory, file or module {entry.text!r}; looked below "
                f"{self._path.parent}, in {where or 'no listed directory'}, and in the "
                "environment"
            )
            self._problem(entry, reason, top, folder=str(_place(self._path, name)))
            return
        known = self._packages.get(top)
        origin = spec.origin or next(iter(spec.submodule_search_locations or ()), top)
        artifact = Artifact(top, Kind.HOST, {}, origin)
        offers = (*(known.offers if known else ()), name)
        self._packages[top] = Package(top, artifact, offers, self._where(entry))

    def _tree(self, top: str) -> Artifact:
        return self._reader.tree(self._portions(top))

    def _portions(self, top: str) -> list[Path]:
        found = [f / top for f in (*self._folders, *self._extra) if _is_folder(f / top)]
        regular = [f for f in found if _is_file(f / "__init__.py")]
        return regular[:1] or [f for f in found if _has_python(f)]

    def _flat(self, top: str) -> Path | None:
        for folder in (*self._folders, *self._extra):
            if _is_file(folder / f"{top}.py"):
                return folder / f"{top}.py"
        return None

    def _add(
        self,
        entry: Entry,
        read: Callable[[], Artifact],
        name: str,
        offers: bool,  # noqa: FBT001
    ) -> None:
        try:
            artifact = read()
        except ArtifactError as error:
            self._problem(entry, error.reason, name)
            return
        except OSError as error:
            self._problem(entry, f"{name} cannot be read: {_told(error)}", name)
            return
        known = self._packages.get(name)
        if known is None:
            offered = (name,) if offers else ()
            self._packages[name] = Package(name, artifact, offered, self._where(entry))
        elif known.artifact.origin != artifact.origin:
            reason = (
                f"{name} ({artifact.origin}) is the name of {known.artifact.origin} "
                f"({known.source}) already, which keeps it; rename one of them"
            )
            self._problem(entry, reason)

    def _where(self, entry: Entry) -> str:
        return f"{self._path}:{entry.line}"

    def _problem(
        self, entry: Entry, reason: str, package: str = "", folder: str = ""
    ) -> None:
        self._problems.append(Problem(self._where(entry), reason, package, folder))


def _is_package(path: Path) -> bool:
    """Tell whether a folder in a listed directory can be imported from.

    Environments and the folders of other tools are not looked into.
    """
    name = path.name
    if not name.isidentifier() or name.startswith("__") or not _is_folder(path):
        return False
    foreign = name == "node_modules" or _is_file(path / "pyvenv.cfg")
    return not foreign and _has_python(path)


def _is_file(path: Path) -> bool:
    return _kind(path) == stat.S_IFREG


def _is_folder(path: Path) -> bool:
    return _kind(path) == stat.S_IFDIR


def _kind(path: Path) -> int:
    """Return what a path leads to; 0 if nothing, or without the right to look."""
    try:
        return stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError):  # ValueError: a null byte
        return 0


def _has_python(folder: Path) -> bool:
    try:
        inside = list(folder.iterdir())
    except OSError:
        return True  # let reading it tell why it cannot be
    return any(path.suffix == ".py" for path in inside) or any(
        _is_file(path / "__init__.py") for path in inside
    )


def _told(error: Exception) -> str:
    if isinstance(error, OSError):
        return f"{error.strerror or error}: {error.filename}"
    return f"it is not UTF-8 text ({error})"
