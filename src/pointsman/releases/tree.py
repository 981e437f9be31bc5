"""Building a tree: beside the others, sealed, then there at once or not at all.

Effects.
"""

from __future__ import annotations

import os
import posixpath
import shutil
import stat
import time
from typing import TYPE_CHECKING, Self

from pointsman import durable
from pointsman.errors import ReleaseError
from pointsman.faults import point
from pointsman.releases import (
    arrival,
    bytecode,
    contents,
    disposal,
    parts,
    removal,
    sealing,
    sites,
)
from pointsman.releases.events import utc
from pointsman.releases.layout import Release, Root
from pointsman.releases.manifest import FILE, Manifest, Python, here
from pointsman.releases.reuse import Older
from pointsman.releases.sealing import Known, stamp

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path
    from types import TracebackType


class Building:
    """A tree that is being built.

    ::

        with Building(root, "mysite", "1.4.0") as building:
            building.link_or_copy(egg / "x.py", "lib/x.py")
            building.write("bin/paster", text, 0o555)
            building.compile()
            release = building.seal(requires={"WebOb": "1.8.11"})

    Files may also be put below ``path`` by hand.  For one thread.  Leaving the block
    without `seal`, or by an exception, removes everything; after a crash, the
    next `Building` of the root does.  Several may be built at once, not two of one
    version.
    """

    path: Path  # the folder being built, a sibling of the sealed ones
    release: Release
    unchanged: bool = False  # after `seal`: the same content was there before

    def __init__(
        self,
        root: Path,
        name: str,
        version: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Touch nothing yet; ``root`` is that of the site, and may be missing.

        Raises:
            ReleaseError: the name or the version cannot be a release's.

        """
        self._root = Root(root.absolute())
        self._clock = clock
        self._known: dict[str, Known] = {}
        self._descriptor = -1
        self.release = Release(name, version)

    def __enter__(self) -> Self:
        """Make the folder.

        Raises:
            ReleaseError: the root belongs to somebody else or cannot be written to,
                or another process builds the same version (with its pid).

        """
        sites.prepare(self._root)
        with sites.told(self._root.path, f"{self.release} cannot be built"):
            parts.tidy(self._root)
            disposal.finish(self._root, self._clock())
            self._older = Older(self._root)
            self.path, self._descriptor = parts.begin(self._root, self.release)
        point("release.begun")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Remove what is not sealed.

        Raises:
            ReleaseError: instead of an OSError of a full or read-only disk.

        """
        removal.remove(self.path)
        os.close(self._descriptor)
        if isinstance(error, OSError) and sites.blames_the_disk(error):
            what = f"{self.release} is not built, and nothing of it is left"
            raise sites.trouble(error, self._root.path, what) from error

    # FILES

    def link_or_copy(
        self, source: Path, relative: str, mode: int | None = None
    ) -> bool:
        """Put a file at ``relative``; True if it takes no disk.

        It is linked to the same content in an older sealed tree of this root, never
        to ``source``; else copied.  Without a ``mode`` it can be executed when the
        source can.

        Raises:
            ReleaseError: the source is no regular file, or ``relative`` is outside.

        """
        status = source.stat()
        if not stat.S_ISREG(status.st_mode):
            message = f"{source} is no file: only files are put into a tree"
            raise ReleaseError(message)
        target = self._place(relative)
        wanted = sealing.final_mode(relative, status.st_mode if mode is None else mode)
        sha256 = contents.digest(source)
        linked = self._older.link(sha256, wanted, target)
        if not linked:
            shutil.copyfile(source, target)
            target.chmod(wanted | stat.S_IWUSR)
        self._know(relative, sha256, linked=linked)
        return linked

    def write(self, relative: str, text: str, mode: int = 0o444) -> None:
        """Put a text file (UTF-8) at ``relative``; what was there is replaced.

        Raises:
            ReleaseError: ``relative`` leaves the tree.

        """
        target = self._place(relative)
        target.write_text(text, encoding="utf-8", newline="")
        target.chmod(mode | stat.S_IWUSR)

    def compile(self, folder: str = "lib") -> None:
        """Give each module below ``folder`` its bytecode, unchecked-hash (PEP 552).

        Taken from an older tree where the module is the same; modules that do not
        compile (templates, tests of syntax errors) go without.
        """
        for path, status in list(contents.walk(self.path / folder)):
            if path.endswith(".py") and stat.S_ISREG(status.st_mode):
                self._compile(posixpath.join(folder, path), status)

    def _compile(self, relative: str, status: os.stat_result) -> None:
        made = bytecode.place(relative)
        target = self._place(made)
        for sha256 in self._older.bytecode(made, self._digest(relative, status)):
            if self._older.link(sha256, 0o444, target):
                self._know(made, sha256, linked=True)
                return
        bytecode.compile_module(self.path / relative, relative, target)

    def _digest(self, relative: str, status: os.stat_result) -> str:
        known = self._known.get(relative)
        if known is not None and known.stamp == stamp(status):
            return known.sha256
        sha256 = contents.digest(self.path / relative)
        self._known[relative] = Known(stamp(status), sha256, linked=False)
        return sha256

    def _place(self, relative: str) -> Path:
        """Return where a file goes: into a folder that is there, itself not there."""
        normal = posixpath.normpath(relative)
        if normal != relative or relative.startswith(("/", "..")) or relative == FILE:
            raise ReleaseError(f"no file of a tree can be at {relative!r}")
        target = self.path / relative
        target.parent.mkdir(parents=True, exist_ok=True)
        # A file that is there may be another tree's, too: never written to.
        target.unlink(missing_ok=True)
        return target

    def _know(self, relative: str, sha256: str, *, linked: bool) -> None:
        now = stamp((self.path / relative).lstat())
        self._known[relative] = Known(now, sha256, linked)

    # THE END

    def seal(
        self, *, requires: Mapping[str, str], python: Python | None = None
    ) -> Release:
        """Make the tree final, and let it appear under its name.

        All modes become 0444, or 0555 for folders, for what is in ``bin/`` and for what
        could be executed.  ``python`` is the interpreter of the scripts; default
        `Python.running`.  When the same content is there already nothing changes, and
        ``unchanged`` is True; a damaged copy that nobody runs from is replaced.

        Raises:
            ReleaseError: the version is there with other content; a link leads out of
                the tree; a device, a socket or a pipe is in it.

        """
        point("release.filled")
        now = self._clock()
        found = sealing.take(self.path, self._known)
        manifest = Manifest(
            release=self.release,
            built_at=utc(now),
            built_by=sites.operator(),
            python=python or Python.running(),
            platform=here(),
            requires=requires,
            files=found.files,
            links=found.links,
        )
        self.unchanged = arrival.is_there(self._root, manifest, now)
        if not self.unchanged:
            self._finish(manifest, found.folders, now)
        arrival.tell(self._root, self.release)
        return self.release

    def _finish(self, manifest: Manifest, folders: list[str], now: float) -> None:
        path = self.path / FILE
        path.write_text(manifest.text(), encoding="ascii")
        path.chmod(0o444)
        sealing.close(self.path, folders)
        point("release.sealed")
        durable.everything(self.path)
        point("release.synced")
        self.unchanged = not arrival.appear(self._root, self.path, manifest, now)
