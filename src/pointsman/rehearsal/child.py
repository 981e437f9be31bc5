"""What a rehearsal does, in a process of its own.  Effects.

It says which package's code it is about to run *before* it runs it, so that
whoever finds this process dead knows whom to blame.
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import resource
import signal
import sys
from collections.abc import Mapping
from dataclasses import astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.errors import Error, LoadError
from pointsman.model import Artifact, Declared, Kind, Package
from pointsman.namespace import facade
from pointsman.namespace.execution import announce
from pointsman.namespace.space import Namespace, View
from pointsman.rehearsal import wire
from pointsman.runtime import inprocess
from pointsman.runtime.inprocess import Loaded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from socket import socket

    from pointsman.runtime.services import Surroundings

#: A helper that finds its child late asks it by this where it is.
WHERE = signal.SIGUSR2

Described = dict[str, Any]


def describe(loaded: Loaded) -> Described:
    """Return what a rehearsal has to know of a version that is laid out."""
    package = loaded.package
    artifact = package.artifact
    return {
        "name": package.name,
        "kind": artifact.kind.value,
        "digest": artifact.digest,
        "given_digest": artifact.given_digest,
        "files": list(artifact.files),
        "files_digest": artifact.files_digest,
        "origin": artifact.origin,
        "offers": list(package.offers),
        "declared": [list(astuple(one)) for one in package.declared],
        "source": package.source,
        "root": str(loaded.space.root) if loaded.space else "",
        "tops": sorted(loaded.space.tops) if loaded.space else [],
    }


class _World(Mapping[str, Namespace]):
    """The namespaces of a rehearsal, opened when something imports from them.

    By top-level module name, as a `View` has its owners; `loaded` is by package.
    """

    def __init__(
        self, described: Mapping[str, Described], codes: Mapping[str, dict[str, bytes]]
    ) -> None:
        self._described = described
        self._packages = {
            top: name for name, one in described.items() for top in one["tops"]
        }
        self._codes = codes
        self._opened: dict[str, Loaded] = {}
        self._view = View(0, self)

    def loaded(self, name: str) -> Loaded:
        if name not in self._opened:
            self._opened[name] = self._open(self._described[name])
        return self._opened[name]

    def _open(self, described: Described) -> Loaded:
        package = _package(described)
        if package.artifact.kind is Kind.HOST:
            return Loaded(package, None)
        codes = self._codes.get(described["digest"])
        space = Namespace(package, Path(described["root"]), codes)
        space.view = self._view
        space.keeps_codes = True
        return Loaded(package, space)

    def __getitem__(self, top: str) -> Namespace:
        space = self.loaded(self._packages[top]).space
        if space is None:  # pragma: no cover - only a namespace has names
            raise KeyError(top)
        return space

    def __contains__(self, top: object) -> bool:
        return top in self._packages

    def __iter__(self) -> Iterator[str]:
        return iter(self._packages)

    def __len__(self) -> int:
        return len(self._packages)


def _package(described: Described) -> Package:
    root, kind = Path(described["root"]), Kind(described["kind"])
    try:
        files = {path: (root / path).read_bytes() for path in described["files"]}
    except FileNotFoundError as error:
        raise _changed(described) from error
    artifact = Artifact(
        described["name"],
        kind,
        files,
        described["origin"],
        given_digest=described["given_digest"],
    )
    if artifact.files_digest != described["files_digest"]:
        raise _changed(described)
    return Package(
        described["name"],
        artifact,
        tuple(described["offers"]),
        described["source"],
        tuple(_declared(one) for one in described["declared"]),
    )


def _declared(fields: list[Any]) -> Declared:
    name, use, path, factory, settings = fields
    return Declared(
        name, use, path, factory, tuple((key, text) for key, text in settings)
    )


def _changed(described: Described) -> LoadError:
    reason = (
        f"{described['root']} is not what was laid out there; something has changed it"
    )
    return LoadError(described["name"], reason)


def run(
    connection: socket,
    task: Mapping[str, Any],
    world: Mapping[str, Described],
    codes: Mapping[str, dict[str, bytes]],
    around: Surroundings,
) -> None:
    """Rehearse the packages of ``task`` and report each; returns when all are tried.

    For a freshly forked process without threads; it must end afterwards.
    """
    sys.path[:] = task["sys_path"]
    importlib.invalidate_caches()
    _limit(task["memory"])
    before = set(sys.modules)
    announce(lambda package: wire.send(connection, {"running": package}))
    inprocess.install()
    opened = _World(world, codes)
    facade.activate("rehearsal", View(0, opened))
    for name in task["load"]:
        wire.send(connection, {"running": name})
        message, blobs = _one(opened, name, around)
        wire.send(connection, {**message, "printed": _printed()}, blobs)
    host = [n for n in sys.modules if n not in before and not facade.is_facade(n)]
    wire.send(connection, {"done": True, "host_modules": host})


def _one(
    world: _World, name: str, around: Surroundings
) -> tuple[dict[str, Any], dict[str, bytes]]:
    try:
        loaded = world.loaded(name)
        inprocess.load(loaded, around)
    except LoadError as error:
        failure = {"reason": error.reason, "traceback": error.traceback}
        return {"name": name, "failure": failure}, {}
    except (Error, OSError) as error:
        return {"name": name, "failure": {"reason": str(error), "traceback": ""}}, {}
    codes = loaded.space.codes if loaded.space else {}
    return {"name": name, "failure": None, "imports": sorted(loaded.imports)}, codes


def _printed() -> int:
    """Return how many bytes were printed so far; nothing of it is in a buffer."""
    with contextlib.suppress(Exception):  # it may have been closed, or be anything
        sys.stdout.flush()
    with contextlib.suppress(OSError):
        return os.lseek(1, 0, os.SEEK_CUR)
    return 0


def _limit(memory: int) -> None:
    if memory:
        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
        total = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (total, total))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def quiet(output: int) -> None:
    """Send what the code prints to ``output``, and tracebacks of crashes too."""
    os.setpgid(0, 0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(output, 1)
    os.dup2(output, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)
    faulthandler.enable(2)
    faulthandler.register(WHERE, 2)
