"""One serving process: a node of the ledger, and all that it is made of.  Engine."""

from __future__ import annotations

import atexit
import logging
import os
import threading
import time
import weakref
from contextlib import closing, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pointsman import forks, identity, planning, reporting
from pointsman.agent import AGAIN, Agent
from pointsman.artifacts import Artifacts
from pointsman.deployments import Deployments
from pointsman.directories import Directories
from pointsman.errors import LedgerError
from pointsman.ledger import ledger_of
from pointsman.local import Local
from pointsman.machinery import Machinery
from pointsman.model import Artifact, Kind, Mount, Package
from pointsman.reconcile import Reconciler
from pointsman.reloading import Reloading
from pointsman.runtime.inprocess import Loaded

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.cluster import Actor
    from pointsman.interfaces import Ledger
    from pointsman.model import Report
    from pointsman.namespace.leaks import Leak
    from pointsman.settings import Settings

_log = logging.getLogger(__name__)

_running: weakref.WeakSet[Node] = weakref.WeakSet()

#: How often a starting node looks whether another generation became active.
_MOST_STEPS = 20


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
    """Serves what its sources and the ledger want.  Any thread may call."""

    def __init__(
        self,
        settings: Settings,
        global_conf: Mapping[str, str] | None = None,
        *,
        starts: bool = True,
        serves: bool = True,
    ) -> None:
        """Build everything; read and start nothing.

        Without ``starts`` the services are made and checked, and never started.
        Without ``serves`` it votes like any node, and says that it answers nobody.
        """
        self.settings = settings
        self._machinery = Machinery(settings, global_conf or {}, starts=starts)
        self.traffic = self._machinery.traffic
        self.retirement = self._machinery.retirement
        self.resources = self._machinery.resources
        self._reloading = Reloading(self._machinery)
        self.pid = 0  # of the process that serves
        self._serves = serves
        self._ledger: Ledger | None = None
        self._artifacts: Artifacts | None = None
        self._deployments: Deployments | None = None
        self._local: Local | None = None
        self._reconciler: Reconciler | None = None
        self._directories: Directories | None = None
        self._closing = threading.Lock()  # held by whoever closes
        self._agent = Agent(
            step=lambda: self._step(),  # noqa: PLW0108 - what it calls is made later
            changed=lambda: self.ledger.changed(),  # noqa: PLW0108
            busy=lambda: self._local is not None and self._local.staged is not None,
            hints=lambda: self.ledger.hints(),  # noqa: PLW0108
        )

    def reserve(self, path: str, application: Any) -> None:
        """Keep a path for an application of the host, before the start."""
        artifact = Artifact("pointsman", Kind.HOST, {}, origin="pointsman itself")
        loaded = Loaded(Package("pointsman", artifact), None)
        mount = Mount("pointsman", path, "pointsman", artifact.origin)
        self.traffic.reserve(mount, loaded, application)

    # THE START

    def start(self) -> None:
        """Load what the ledger and the sources want, before the first request.

        What fails is reported and left out.  In a process that only makes the
        application for workers to be forked, nothing is loaded: what a service starts,
        threads above all, would not be there in them.  Each becomes a node of its own.

        A worker that comes in place of another, while the ledger cannot be used, ends,
        and leaves it to the next one: to raise would end all of gunicorn.

        Raises:
            ConfigError: the service list cannot be read at all, or the work
                directory cannot be written to.
            LedgerError: the ledger cannot be used.

        """
        self._machinery.get_ready()
        if not forks.serves_here():
            with closing(ledger_of(self.settings)):
                pass  # only to be told at once when it cannot be used
            forks.when_forked(self._start_or_end)
        elif forks.is_replacement():
            self._start_or_end()
        else:
            self._start()

    def _start(self) -> None:
        self.pid = os.getpid()
        self._machinery.claims.use(self.ledger, writes=True)
        self.reload()
        _running.add(self)
        self._take_part()

    def _start_or_end(self) -> None:
        try:
            self._start()
        except LedgerError as error:
            _log.error("this worker ends, and another will try: %s", error)
            time.sleep(AGAIN)  # or the server would do nothing but start workers
            logging.shutdown()
            os._exit(1)

    def _open(self) -> Local:
        """Open the ledger, and build what needs it."""
        settings = self.settings
        self._ledger = ledger_of(settings)
        self._artifacts = Artifacts(self._ledger, settings.work_dir / "artifacts")
        self._deployments = Deployments(
            self._ledger,
            self._artifacts,
            uploads=settings.work_dir / "uploads",
            limit=settings.upload_limit,
            timeout=settings.deploy_timeout,
            wake=self.wake,
            importers=self._importers,
        )
        # Who only looks (`pointsman check`) does not decide who was first.
        self._machinery.claims.use(self._ledger, writes=False)
        self._local = Local(self._machinery.switching, self._artifacts)
        return self._local

    def _take_part(self) -> None:
        """Become a node of the ledger, in the process that serves."""
        self.pid = os.getpid()
        self._reconciler = reconciler = Reconciler(
            node=identity.record(serves=self._serves),
            ledger=self.ledger,
            local=self.local,
            lease=self.settings.cluster_lease,
            history=self.settings.backup_history,
            gone=identity.gone,
            report=self.report,
            answer=lambda question: reporting.answer(self, question),
            reload=self._reload_asked,
            reloads=self._reloading.followed,
        )
        for _ in range(_MOST_STEPS):
            if reconciler.step() > 0:
                break
        self._agent.start()
        self._directories = Directories(
            settings=self.settings,
            node=self.id,
            ledger=self.ledger,
            deployments=self.deployments,
            wait=self.settings.deploy_timeout,
            alive=self._is_alive,
            importers=self._importers,
        )
        self._directories.start()

    def _is_alive(self, node: str) -> bool:
        return identity.is_alive(node, self.ledger.nodes())

    def _step(self) -> float:
        if self._reconciler is None:
            return 1.0
        try:
            delay = self._reconciler.step()
        except LedgerError:
            self._reconciler.be_cut_off()
            raise
        if not delay:  # something was done that others wait for
            self.deployments.moved()
        return delay

    # WHAT IT HAS

    @property
    def last(self) -> Report | None:
        """Return what the last look at the sources has come to."""
        return self._reloading.last

    @property
    def ledger(self) -> Ledger:
        """Return the ledger; it is opened when it is first asked for.

        Raises:
            LedgerError: it cannot be.

        """
        if self._ledger is None:
            self._open()
        return self._ledger  # type: ignore[return-value]

    @property
    def artifacts(self) -> Artifacts:
        """Return this node's cache of artifacts."""
        if self._artifacts is None:
            self._open()
        return self._artifacts  # type: ignore[return-value]

    @property
    def deployments(self) -> Deployments:
        """Return the way to change what is served."""
        if self._deployments is None:
            self._open()
        return self._deployments  # type: ignore[return-value]

    @property
    def local(self) -> Local:
        """Return this process's end of the generations."""
        return self._local if self._local is not None else self._open()

    @property
    def id(self) -> str:
        """Return the name of this node in the ledger; "" if it takes no part."""
        return self._reconciler.node.id if self._reconciler is not None else ""

    @property
    def generation(self) -> int:
        """Return the generation that serves; 0 before the first deployment."""
        return self._local.number if self._local is not None else 0

    @property
    def shadowed(self) -> tuple[str, ...]:
        """Return the static packages whose name the generation has."""
        return self._local.shadowed if self._local is not None else ()

    @property
    def stopped(self) -> frozenset[str]:
        """Return the services that are stopped."""
        return self._machinery.switching.stopped

    def imports(self) -> dict[str, frozenset[str]]:
        """Return which packages each package has imported from so far."""
        return self._machinery.preparation.imports({})

    def _importers(self, name: str) -> frozenset[str]:
        return planning.affected([name], self.imports()) - {name}

    # RELOADING

    def wake(self) -> None:
        """Look at the ledger at once."""
        self._agent.wake()

    def reload(
        self, actor: Actor | None = None, *, confirm_removals: bool = False
    ) -> Report:
        """Read the sources again and switch to what they want; blocks meanwhile.

        Requests are served all the time.  Reloads that come together run one after
        the other.  Each change of state is logged.  With an ``actor``, all other
        nodes are asked for the same.
        """

        def work() -> Report:
            request = 0
            if actor is not None:
                request = self._request_reload(actor, confirm_removals=confirm_removals)
            return self._reload(request)

        report = self._agent.call(work)
        if self._directories is not None:
            found = self._directories.scan(confirm_removals=confirm_removals)
            report = replace(report, directories=tuple(found))
            self._reloading.last = report
        return report

    def _reload_asked(self, request: int, confirm_removals: bool) -> None:  # noqa: FBT001
        self._reload(request)
        directories = self._directories
        if directories is not None:  # it waits for decisions, which this thread makes
            threading.Thread(
                target=directories.scan,
                kwargs={"confirm_removals": confirm_removals},
                name="pointsman-scan",
                daemon=True,
            ).start()

    def _reload(self, request: int) -> Report:
        reconciler = self._reconciler
        with reconciler.alive() if reconciler is not None else nullcontext():
            report = self._reloading.run(self.local, self.ledger, request)
        if reconciler is not None:
            reconciler.retry()
            reconciler.tell()
        return report

    def _request_reload(self, actor: Actor, *, confirm_removals: bool) -> int:
        """Ask the other nodes; return the request's number, 0 if they cannot be."""
        if self._reconciler is None:
            return 0
        try:
            number = self.ledger.request_reload(
                actor, confirm_removals=confirm_removals
            )
        except LedgerError as error:
            _log.warning("the other nodes are not asked to reload: %s", error)
            return 0
        self._reconciler.reloads = number
        return number

    # WHAT IT SAYS OF ITSELF

    @property
    def behind(self) -> str:
        """Return why the active generation does not serve here; "" if it does."""
        return self._reconciler.behind if self._reconciler is not None else ""

    @property
    def draining(self) -> bool:
        """Tell whether new requests should go elsewhere; those that come are served."""
        return self._reconciler is not None and self._reconciler.draining

    @property
    def cut_off(self) -> str:
        """Return why the ledger cannot be used at this moment; "" if it can."""
        return self._agent.cut_off

    @property
    def stuck(self) -> tuple[str, ...]:
        """Return the packages whose load has not come back."""
        return self._machinery.preparation.stuck

    def readiness(self) -> tuple[bool, dict[str, object]]:
        """Tell whether requests should come here, and why not."""
        return reporting.readiness(self)

    def report(self) -> dict[str, object]:
        """Return what the other nodes shall know of this one; quick, any thread."""
        return reporting.report(self)

    def directories(self) -> tuple[dict[str, object], ...]:
        """Return what is known of the watched directories."""
        return self._directories.status() if self._directories is not None else ()

    def in_flight(self) -> int:
        """Return how many requests are being served, by old versions too."""
        old = sum(len(one.version.pins) for one in self.retirement.waiting())
        return self.traffic.in_flight() + old

    def leak_count(self) -> int:
        """Return how many ended versions are still in memory; quick."""
        return self._machinery.runtime.watch.count()

    def leaks(self, *, collect: bool = False) -> tuple[Leak, ...]:
        """Return the ended versions that are still in memory, and who holds them.

        Takes about a second for each million objects, on this thread, if there are
        any; ``collect`` lets the garbage collector run first, while all wait.
        """
        return self._machinery.runtime.watch.leaks(collect=collect)

    # THE END

    def drain(self) -> None:
        """Be not ready any more, and vote no more; go on serving.  Does not block."""
        if self._reconciler is not None:
            self._reconciler.drain()
            self._agent.wake()

    def close(self) -> None:
        """Stop all services and let go of everything; serves nothing afterwards."""
        _running.discard(self)
        with self._closing:
            if self._directories is not None:
                self._directories.close()
            self._agent.close()
            self._leave()
            self._machinery.close()
            if self._ledger is not None:
                self._ledger.close()

    def _leave(self) -> None:
        if self._reconciler is None or self.pid != os.getpid():
            return
        try:
            self._reconciler.leave()
        except LedgerError as error:  # the others see it by its process, or its lease
            _log.warning("%s", error)
