"""All that one process needs to load, serve and retire packages.  Engine.

The composition of a node without the ledger.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
from typing import TYPE_CHECKING

from pointsman.claims import Claims
from pointsman.errors import ConfigError
from pointsman.namespace.ownership import HostNames
from pointsman.namespace.unpacked import Unpacked
from pointsman.preparation import Preparation
from pointsman.rehearsal.client import Rehearsal
from pointsman.resources import Resources
from pointsman.retirement import Retirement
from pointsman.runtime import inprocess
from pointsman.runtime.inprocess import InProcess
from pointsman.runtime.services import Surroundings
from pointsman.sources.extra_paths import ExtraPaths
from pointsman.sources.service_list import ServiceList, folders_of
from pointsman.switching import Switching
from pointsman.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pointsman.model import Problem, Scan
    from pointsman.settings import Settings


class Machinery:
    """Builds what loads and serves; one thread at a time asks it to look or load."""

    def __init__(
        self, settings: Settings, global_conf: Mapping[str, str], *, starts: bool
    ) -> None:
        """Build everything; read and start nothing."""
        self.settings = settings
        self._global_conf = dict(global_conf)
        self.traffic = Traffic()
        self.resources = Resources(settings.resources)
        self.claims = Claims()
        self._host_names = HostNames(self._own_folders)
        self._ahead = True  # nothing was imported for services yet
        self._unpacked = Unpacked(settings.work_dir, settings.work_dir / "artifacts")
        self._extra = ExtraPaths(settings.extra_paths)
        self._list = ServiceList(settings.service_sources, self._extra.all)
        self._rehearsal = self._make_rehearsal() if settings.rehearse else None
        self.retirement = Retirement(
            lambda version: self.switching.end(version),  # noqa: PLW0108 - made below
            keep_warm=settings.keep_warm,
            timeout=settings.retire_timeout,
        )
        around = Surroundings(settings.services, self.resources, self._global_conf)
        self.runtime = InProcess(self._unpacked, around)
        self.preparation = self._make_preparation(starts=starts)
        self.switching = Switching(
            runtime=self.runtime,
            traffic=self.traffic,
            preparation=self.preparation,
            retirement=self.retirement,
            rehearsal=self._rehearsal,
            keep_mounts=self.claims.keep,
        )

    def _make_rehearsal(self) -> Rehearsal:
        hello = {
            "settings": {n: dict(s) for n, s in self.settings.services.items()},
            "resources": dict(self.settings.resources),
            "global_conf": self._global_conf,
        }
        return Rehearsal(
            hello,
            deadline=self.settings.staging_timeout,
            memory=self.settings.rehearse_memory,
        )

    def _make_preparation(self, *, starts: bool) -> Preparation:
        return Preparation(
            runtime=self.runtime,
            traffic=self.traffic,
            retirement=self.retirement,
            rehearsal=self._rehearsal,
            deadline=self.settings.staging_timeout,
            mounts=self.claims.read,
            reserved=self.settings.control_path,
            starts=starts,
            owner=lambda top: self._host_names.file(top),  # noqa: PLW0108 - it changes
            on_host_modules=self._host_modules,
        )

    def _own_folders(self) -> tuple[Path, ...]:
        return (*self._extra.all(), *folders_of(self.settings.service_sources))

    def _host_modules(self, modules: tuple[str, ...]) -> None:
        """Import ahead what the first rehearsal showed to be needed of the host."""
        if self._rehearsal is not None:
            self._rehearsal.warm(modules)
        if self._ahead:
            self._ahead = False
            for name in modules:
                with contextlib.suppress(Exception):  # it will be told on real import
                    importlib.import_module(name)
            _put_aside()

    def get_ready(self) -> None:
        """Make the work directory; look whether the sources can be read.

        Raises:
            ConfigError: the service list cannot be read at all, or the work
                directory cannot be written to.

        """
        work_dir = self.settings.work_dir
        try:
            work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._unpacked.sweep()
        except OSError as error:
            message = f"work_dir {work_dir}: {error.strerror or error}"
            raise ConfigError(message) from error
        self._list.require()
        _put_aside()

    def look(self) -> tuple[Scan, tuple[Problem, ...]]:
        """Look at the sources of this machine, and at ``extra_paths``."""
        problems = self._extra.look()
        self._host_names = HostNames(self._own_folders)
        scan = self._list.scan()
        unnamed = tuple(p for p in scan.problems if not p.package)
        return scan, (*problems, *unnamed)

    def close(self) -> None:
        """Stop all services and let go of everything."""
        self.switching.close()
        self.retirement.close()
        self.resources.close()
        if self._rehearsal is not None:
            self._rehearsal.close()
        self._unpacked.close()
        self._extra.close()


def _put_aside() -> None:
    """Take what the host is made of out of the garbage collector's sight.

    A full collection then stalls requests for about a millisecond instead of tens
    (docs/decisions/0004).  Not once a service is loaded: of what is put aside, no
    cycle is ever collected.
    """
    if not inprocess.is_anything_loaded():
        gc.collect()
        gc.freeze()
