"""One serving process: everything built from the settings, in one place.  Engine."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import logging
import os
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from pointsman.claims import Claims
from pointsman.errors import ConfigError
from pointsman.model import Artifact, Kind, Mount, Package, Report
from pointsman.namespace import facade
from pointsman.namespace.ownership import HostNames
from pointsman.namespace.unpacked import Unpacked
from pointsman.reconcile import Reconciler
from pointsman.rehearsal.client import Rehearsal
from pointsman.resources import Resources
from pointsman.retirement import Retirement
from pointsman.runtime import inprocess
from pointsman.runtime.inprocess import InProcess, Loaded
from pointsman.runtime.services import Surroundings
from pointsman.sources.extra_paths import ExtraPaths
from pointsman.sources.service_list import ServiceList, folders_of
from pointsman.traffic import Traffic

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pointsman.model import Outcome, Problem
    from pointsman.namespace.leaks import Leak
    from pointsman.settings import Settings

_log = logging.getLogger(__name__)

_running: weakref.WeakSet[Node] = weakref.WeakSet()


def running() -> tuple[Node, ...]:
    """Return the nodes of this process that were started and not closed."""
    return tuple(_running)


@atexit.register
def close_all() -> None:
    """Close the nodes that this process has started, as at its end.

    For servers that know nothing of us: so that ``stop()`` is called under them too.
    """
    for node in running():
        if node.pid == os.getpid():
            node.close()


class Node:
    """Serves what its sources want.  `reload` may be called from any thread."""

    def __init__(
        self,
        settings: Settings,
        global_conf: Mapping[str, str] | None = None,
        *,
        starts: bool = True,
    ) -> None:
        """Build everything; read and start nothing.

        Without ``starts`` the services are made and checked, and never started.
        """
        self.settings = settings
        self.traffic = Traffic()
        self.last: Report | None = None
        self.pid = 0  # of the process that started it
        self.resources = Resources(settings.resources)
        self._global_conf = dict(global_conf or {})
        around = Surroundings(settings.services, self.resources, self._global_conf)
        self._one_at_a_time = threading.Lock()  # held by whoever reloads
        self._host_names = HostNames(self._own_folders)
        self._ahead = True  # nothing was imported for services yet
        self._unpacked = Unpacked(settings.work_dir)
        self._extra = ExtraPaths(settings.extra_paths)
        self._list = ServiceList(settings.service_sources, self._extra.all)
        self._rehearsal = self._make_rehearsal() if settings.rehearse else None
        self.retirement = Retirement(
            lambda version: self._reconciler.end(version),  # noqa: PLW0108 - made below
            keep_warm=settings.keep_warm,
            timeout=settings.retire_timeout,
        )
        self._runtime = InProcess(self._unpacked, around)
        self._reconciler = Reconciler(
            runtime=self._runtime,
            traffic=self.traffic,
            retirement=self.retirement,
            rehearsal=self._rehearsal,
            deadline=settings.staging_timeout,
            claims=Claims(settings.work_dir / "claims.json"),
            reserved=settings.control_path,
            starts=starts,
            owner=lambda top: self._host_names.file(top),  # noqa: PLW0108 - it changes
            on_host_modules=self._host_modules,
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

    def _own_folders(self) -> tuple[Path, ...]:
        return (*self._extra.all(), *folders_of(self.settings.service_sources))

    def reserve(self, path: str, application: Any) -> None:
        """Keep a path for an application of the host, before the start."""
        artifact = Artifact("pointsman", Kind.HOST, {}, origin="pointsman itself")
        loaded = Loaded(Package("pointsman", artifact), None)
        mount = Mount("pointsman", path, "pointsman", artifact.origin)
        self.traffic.reserve(mount, loaded, application)

    def start(self) -> Report:
        """Load what the sources want, once, before the first request.

        What fails is reported and left out.

        Raises:
            ConfigError: the service list cannot be read at all, or the work
                directory cannot be written to.

        """
        try:
            self.settings.work_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._unpacked.sweep()
        except OSError as error:
            message = f"work_dir {self.settings.work_dir}: {error.strerror or error}"
            raise ConfigError(message) from error
        self._list.require()
        self.pid = os.getpid()
        _put_aside()
        report = self.reload()
        _running.add(self)
        return report

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

    def reload(self) -> Report:
        """Read the sources again and switch to what they want; blocks meanwhile.

        Requests are served all the time.  Reloads that come together run one after
        the other.  Each change of state is logged.
        """
        with self._one_at_a_time:
            begun = time.perf_counter()
            problems = self._extra.look()
            self._host_names = HostNames(self._own_folders)
            scan = self._list.scan()
            before = self._reconciler.generation
            outcomes = self._reconciler.step(scan)
            unnamed = tuple(p for p in scan.problems if not p.package)
            report = Report(
                pid=os.getpid(),
                generation=self._reconciler.generation,
                duration_ms=round((time.perf_counter() - begun) * 1000, 3),
                outcomes=outcomes,
                problems=(*problems, *unnamed),
                stuck=self._reconciler.stuck,
            )
            self.last = report
            _log_report(report, before)
            return report

    def in_flight(self) -> int:
        """Return how many requests are being served, by old versions too."""
        old = sum(len(one.version.pins) for one in self.retirement.waiting())
        return self.traffic.in_flight() + old

    def leaks(self, *, collect: bool = False) -> tuple[Leak, ...]:
        """Return the ended versions that are still in memory, and who holds them.

        Takes about a second for each million objects, on this thread, if there are
        any; ``collect`` lets the garbage collector run first, while all wait.
        """
        return self._runtime.watch.leaks(collect=collect)

    def close(self) -> None:
        """Stop all services and let go of everything; serves nothing afterwards."""
        _running.discard(self)
        with self._one_at_a_time:
            versions = list(self.traffic.versions.values())
            self.traffic.publish(self._reconciler.generation + 1, {})
            self.retirement.add(versions)
            self.retirement.close()
            self._reconciler.close()
            facade.deactivate(self._reconciler)
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


def _told(problem: Problem) -> str:
    return f"{problem.where}: {problem.reason}"


def _log_report(report: Report, before: int) -> None:
    for problem in report.problems:
        _log.error("%s", _told(problem))
    for outcome in report.outcomes:
        _log_outcome(outcome)
    if report.generation != before:
        _log.info(
            "generation %d serves, after %.1f ms", report.generation, report.duration_ms
        )


def _log_outcome(outcome: Outcome) -> None:
    if outcome.status == "failed":
        _log.error(
            "%s failed: %s\n%s", outcome.package, outcome.reason, outcome.traceback
        )
    elif outcome.status not in ("unchanged", "host"):
        reason = f": {outcome.reason}" if outcome.reason else ""
        _log.info("%s %s%s", outcome.package, outcome.status, reason)
