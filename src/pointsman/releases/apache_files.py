"""What Apache reads of a site: its configuration, one script, one name.  Effects.

::

    ROOT/apache/site.conf   the release's etc/apache.conf; included by Apache, once
    ROOT/apache/app.wsgi    the script of the site; the same for all releases
    ROOT/apache/release     the real path of the tree that new processes load

A running Apache keeps the path of the script for its life, so the script belongs to no
release.  It reads ``release`` once, when its process begins: from then on that process
runs from the real path, and never changes over half-way, as it would through a link.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pointsman import durable
from pointsman.errors import ReleaseError
from pointsman.releases.layout import Release, Root

_LOOK = 0.05
_SCRIPT = '''\
"""The site's script for mod_wsgi.  Made by `pointsman release activate`; do not edit.

`release` beside it names the tree that a new process loads.  On probation a second
line names the tree before: it is loaded when the first one fails, and the failure is
noted in shared/var, where `pointsman release activate` sees it.
"""

import fcntl
import os
import sys
import traceback

HERE = os.path.dirname(os.path.realpath(__file__))
VAR = os.path.join(os.path.dirname(HERE), "shared", "var")


def load(tree):
    """Return the application of a tree, which stays locked for the process's life."""
    manifest = os.path.join(tree, "MANIFEST.json")
    in_use = os.open(manifest, os.O_RDONLY)
    try:
        fcntl.flock(in_use, fcntl.LOCK_SH)  # who looks has it for a moment
        os.stat(manifest)  # it may have been removed before we had the lock
        path = os.path.join(tree, "etc", "app.wsgi")
        with open(path, encoding="utf-8") as file:
            code = compile(file.read(), path, "exec", dont_inherit=True)
        names = {"__name__": "app_wsgi", "__file__": path}
        exec(code, names)
        return names["application"]
    except BaseException:
        os.close(in_use)
        raise


def note(tree):
    """Tell that a tree could not be loaded, to whoever watches and to the log."""
    text = f"{tree}\\n{traceback.format_exc()}"
    sys.stderr.write(text)
    try:
        path = os.path.join(VAR, f"apache-{os.getpid()}.failed")
        with open(path + ".part", "w", encoding="utf-8") as file:
            file.write(text)
        os.rename(path + ".part", path)
    except OSError as error:
        sys.stderr.write(f"and that cannot be noted: {error}\\n")


def forget(tree, path):
    """Take away what a failed tree has brought."""
    sys.path[:] = path
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None) or "").startswith(tree + os.sep):
            del sys.modules[name]


def loaded():
    """Return the application of the first tree that can be loaded."""
    with open(os.path.join(HERE, "release"), encoding="utf-8") as file:
        wanted, *before = file.read().split("\\n")[:-1]
    path = list(sys.path)
    try:
        return load(wanted)
    except (Exception, SystemExit):
        note(wanted)
        if not before:
            raise
    forget(wanted, path)
    return load(before[0])


# While a process loads, `release` is not changed: nobody comes late with an old name.
loading = os.open(HERE, os.O_RDONLY)
fcntl.flock(loading, fcntl.LOCK_SH)
application = loaded()
# What has come so far serves; who switches releases sees this lock.
ready = os.open(os.path.join(HERE, "app.wsgi"), os.O_RDONLY)
fcntl.flock(ready, fcntl.LOCK_SH)
os.close(loading)
'''


@dataclass(frozen=True, slots=True)
class ApacheFiles:
    """The files below ``ROOT/apache``.  Change them with the store's lock only."""

    root: Root
    patience: float = 20.0  # seconds, with processes that load

    @property
    def folder(self) -> Path:
        """Where they are."""
        return self.root.path / "apache"

    @property
    def configuration(self) -> Path:
        """What Apache includes."""
        return self.folder / "site.conf"

    @property
    def script(self) -> Path:
        """What WSGIScriptAlias names."""
        return self.folder / "app.wsgi"

    @property
    def pointer(self) -> Path:
        """Which tree new processes load."""
        return self.folder / "release"

    def prepare(self, release: Release) -> bool:
        """Bring the script and the configuration up to date; True if that changed.

        Apache reads the configuration when it starts the next time.

        Raises:
            ReleaseError: the release has no ``etc/app.wsgi``.

        """
        tree = self.root.tree(release)
        if not (tree / "etc" / "app.wsgi").is_file():
            raise ReleaseError(
                f"{release} has no etc/app.wsgi, which Apache would load; render one "
                "with the recipe pointsman:config"
            )
        self.folder.mkdir(exist_ok=True)
        _keep(self.script, _SCRIPT)
        own = tree / "etc" / "apache.conf"
        if not own.is_file():
            return False
        return _keep(
            self.configuration, self._of_all_releases(tree, own.read_text("utf-8"))
        )

    def point(self, release: Release, before: Release | None = None) -> None:
        """Let new processes load a release, or the one ``before`` should that fail.

        Waits for those that are loading, for a while: then all that load by the old
        name have locked their tree.
        """
        trees = [self.root.tree(one) for one in (release, before) if one is not None]
        folder = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            _lock(folder, self.patience)
            durable.replace(self.pointer, "".join(f"{tree}\n" for tree in trees))
        finally:
            os.close(folder)

    def pointed(self) -> Release | None:
        """Return which release new processes load; None when nothing says so.

        Raises:
            ReleaseError: the file names no release of this site.

        """
        try:
            first = Path(self.pointer.read_text("utf-8").partition("\n")[0])
        except FileNotFoundError:
            return None
        if first.parent != self.root.releases:
            message = f"{self.pointer} names no release of this site; remove the file"
            raise ReleaseError(message)
        return Release.parse(first.name)

    def failures(self) -> dict[int, str]:
        """Return what processes have noted: the tree, and the traceback."""
        found = {}
        for path in self.root.var.glob("apache-*.failed"):
            with suppress(OSError, ValueError):
                pid = int(path.name.removeprefix("apache-").removesuffix(".failed"))
                found[pid] = path.read_text("utf-8", errors="replace").strip()
        return found

    def forget_failures(self) -> None:
        """Remove all notes."""
        for path in self.root.var.glob("apache-*.failed*"):
            path.unlink(missing_ok=True)

    def _of_all_releases(self, tree: Path, text: str) -> str:
        """Let a release's own configuration name the script of the site.

        Only that: what else it takes from its tree, it takes from the real path.
        """
        return text.replace(f"{tree}/etc/app.wsgi", str(self.script)).replace(
            f"<Directory {tree}/etc>", f"<Directory {self.folder}>"
        )


def _lock(descriptor: int, patience: float) -> None:
    """Lock it for this process alone; go on without, should that take too long."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        with suppress(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(_LOOK)


def _keep(path: Path, text: str) -> bool:
    with suppress(FileNotFoundError):
        if path.read_text("utf-8") == text:
            return False
    durable.replace(path, text)
    return True
