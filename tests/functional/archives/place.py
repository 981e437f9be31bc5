"""Packages in namespaces of this process, without a node around them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pointsman.archive import identify, open_package
from pointsman.cluster import Entry
from pointsman.errors import LoadError
from pointsman.model import Kind
from pointsman.namespace import facade
from pointsman.namespace.space import View
from pointsman.namespace.unpacked import Unpacked
from pointsman.rehearsal.client import Rehearsal
from pointsman.runtime.inprocess import InProcess
from pointsman.runtime.services import Surroundings
from unit.archive.making import archive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pointsman.model import Package
    from pointsman.rehearsal.client import Rehearsed
    from pointsman.runtime.inprocess import Loaded


@dataclass(eq=False)
class Site:
    """Opens and loads packages; those that are active see each other."""

    folder: Path
    settings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with nothing."""
        around = Surroundings(self.settings, {}, {"here": "/site"})
        self.unpacked = Unpacked(self.folder / "var")
        self.runtime = InProcess(self.unpacked, around)
        self.active: dict[str, Loaded] = {}
        self.replaced: list[Loaded] = []
        hello = {
            "settings": {n: dict(s) for n, s in self.settings.items()},
            "resources": {},
            "global_conf": {"here": "/site"},
        }
        self.rehearsal = Rehearsal(hello, deadline=30.0, memory=0)

    def archive(
        self, manifest: str, files: Mapping[str, str | bytes], file: str = "crm.sar"
    ) -> Package:
        """Return the package of an archive; its name is the first of the manifest."""
        return self.package(archive(files, f"[package]\n{manifest}"), file)

    def package(self, content: bytes, file: str) -> Package:
        """Return the package of a file, as an upload would open it."""
        path = self.folder / "upload"
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        found = identify(path, file)
        kind, version = found.kind, found.version
        entry = Entry(found.package, digest, kind, file, version=version)
        return open_package(path, entry)

    def deploy(self, *packages: Package) -> None:
        """Load packages together, and serve them instead of older ones."""
        staged = {package.name: self.runtime.open(package) for package in packages}
        view = self._view({**self.active, **staged})
        for loaded in staged.values():
            self._space(loaded).view = view
        try:
            for loaded in staged.values():
                self.runtime.load(loaded)
            for loaded in staged.values():
                self.runtime.start(loaded)
        except LoadError:
            for loaded in staged.values():
                self.runtime.forget(loaded, None)
            raise
        self.replaced += [self.active[n] for n in staged if n in self.active]
        self.active.update(staged)
        facade.activate(self, view)
        self.rehearsal.activated(staged.values(), [])

    def rehearse(self, *packages: Package) -> Rehearsed:
        """Run packages in a child first; leave nothing behind."""
        staged = {package.name: self.runtime.open(package) for package in packages}
        try:
            return self.rehearsal.run(staged, [*staged], [])
        finally:
            for loaded in staged.values():
                self.runtime.forget(loaded, None)

    def get(self, package: str, service: str) -> Any:
        """Return what a service answers, decoded."""
        return answer(self.active[package], service)

    def close(self) -> None:
        """Forget everything."""
        for loaded in (*self.active.values(), *self.replaced):
            self.runtime.stop(loaded)
            self.runtime.forget(loaded, None)
        facade.deactivate(self)
        self.rehearsal.close()
        self.unpacked.close()

    @staticmethod
    def _view(versions: Mapping[str, Loaded]) -> View:
        spaces = [one.space for one in versions.values() if one.space is not None]
        return View(1, {top: space for space in spaces for top in space.tops})

    @staticmethod
    def _space(loaded: Loaded) -> Any:
        assert loaded.package.artifact.kind is not Kind.HOST
        return loaded.space


def answer(loaded: Loaded, service: str) -> str:
    """Return what a service of one version answers, as text."""
    (one,) = (s for s in loaded.services if s.mount.service == service)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/", "SCRIPT_NAME": ""}
    environ.update(SERVER_NAME="localhost", SERVER_PORT="80", QUERY_STRING="")
    body = one.application(
        {**environ, "wsgi.url_scheme": "http"}, lambda *_arguments: None
    )
    return b"".join(body).decode()


def mounts(loaded: Loaded) -> dict[str, str]:
    """Return where each service of a version is reached."""
    return {one.mount.service: one.mount.path for one in loaded.services}
