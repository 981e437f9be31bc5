"""Machines and the serving processes on them: the product's engine, simulated below."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from pointsman.agent import Agent
from pointsman.cluster import NodeRecord, NodeState
from pointsman.errors import LedgerError
from pointsman.ledger.whole import SqlLedger
from pointsman.local import Local
from pointsman.model import Scan
from pointsman.reconcile import Reconciler
from pointsman.reloading import _first
from simulation.packages import Cache, Loads
from simulation.wire import Replica, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from pointsman.agent import Bell
    from pointsman.artifacts import Artifacts
    from pointsman.interfaces import Hints, Ledger
    from pointsman.model import Package
    from pointsman.switching import Switching
    from simulation.tasks import Fibre
    from simulation.world import World

#: How often a starting node looks whether another generation became active: as `node`.
_MOST_STEPS = 20


class Host:
    """One machine."""

    def __init__(self, world: World, name: str) -> None:
        self.world = world
        self.name = name
        self.is_on = True
        self.is_cut = False
        self.kept: dict[str, bytes] = {}  # artifacts, over all restarts
        self.processes: dict[int, Process] = {}
        self._pids = itertools.count(1)

    def start(self, delay: float = 0.0) -> None:
        """Start a process after so long."""

        def begin() -> None:
            if self.is_on:
                process = Process(self, next(self._pids))
                self.processes[process.pid] = process
                process.begin()

        self.world.timetable.call(delay, begin)

    def cut(self) -> None:
        """Cut it off from the database."""
        self.is_cut = True
        for process in self.processes.values():
            if process.wire.listening is not None:
                process.wire.listening.cut()

    def mend(self) -> None:
        """End that."""
        self.is_cut = False
        for process in self.processes.values():
            if process.wire.listening is not None:
                process.wire.listening.mend()

    def gone(self, nodes: Iterable[NodeRecord]) -> frozenset[str]:
        """See `identity.gone`."""
        return frozenset(
            node.id
            for node in nodes
            if node.host == self.name and node.pid not in self.processes
        )


class SilentBell:
    """What `agent.Bell` is, without a descriptor."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._fibre: Fibre | None = None
        self._rung = False

    def ring(self) -> None:
        """See `agent.Bell.ring`."""
        self._rung = True
        self.wake()

    def wait(self, seconds: float, hints: Hints | None) -> bool:
        """See `agent.Bell.wait`."""
        listening = self._process.wire.listening
        if not (self._rung or (listening is not None and listening.is_readable)):
            self._fibre = self._process.world.timetable.mine
            self._process.pass_time(seconds)
            self._fibre = None
        rung, self._rung = self._rung, False
        return rung

    def wake(self) -> None:
        """Let it look at what has come."""
        if self._fibre is not None:
            self._process.world.timetable.wake(self._fibre)

    def close(self) -> None:
        """Have nothing to close."""


class Process:
    """One node: what `node.Node` builds, with everything below it simulated."""

    def __init__(self, host: Host, pid: int) -> None:
        world = host.world
        self.host, self.world, self.pid = host, world, pid
        self.name = f"{host.name}:{pid}"
        self.random, self.shelf = world.random, world.shelf
        self.stopped_until = 0.0  # by SIGSTOP, or a machine that sleeps
        self.has_started = False
        self.is_leaving = False
        self.newest = 0  # of the generations that it has served
        self.fibres: list[Fibre] = []
        self.bell = SilentBell(self)
        self.wire = Wire(self, world.server)
        database = Replica(self.wire, world.timetable.fail)
        self.ledger: Ledger = SqlLedger(database, world.shape.absent_after)
        self.loads = Loads(self)
        cache = cast("Artifacts", Cache(self, self.ledger))
        self.local = Local(cast("Switching", self.loads), cache)
        self.reconciler = self._make_reconciler()
        self.agent = Agent(
            step=self._step,
            changed=self.ledger.changed,
            busy=lambda: self.local.staged is not None,
            hints=self.ledger.hints,
        )
        self.agent._wake = cast("Bell", self.bell)

    def _make_reconciler(self) -> Reconciler:
        drift = self.random.uniform(0.999, 1.001)
        begin = self.random.uniform(0, 1e6)
        timetable = self.world.timetable
        return Reconciler(
            node=NodeRecord(
                id=self.name,
                host=self.host.name,
                pid=self.pid,
                started=self.pid,
                release="1",
                python="3",
                state=NodeState.JOINING,
                generation=0,
                joined_at=0.0,
                lease_until=0.0,
            ),
            ledger=self.ledger,
            local=self.local,
            lease=self.world.shape.lease,
            history=self.world.shape.history,
            gone=self.host.gone,
            report=dict,
            answer=lambda question: self.ledger.answer(question.id, {}),
            reload=lambda number, confirm: None,
            clock=lambda: begin + timetable.now * drift,
            beside=self._beside,
        )

    @contextmanager
    def _beside(self, beat: Callable[[], None], every: float) -> Iterator[None]:
        """Be a `pulse.Pulse`, with a fibre of this process."""
        beating = False

        def live() -> None:
            nonlocal beating
            while True:
                self.pass_time(every)
                beating = True
                beat()
                beating = False

        fibre = self.run(live)
        try:
            yield
        finally:
            try:
                while beating:
                    self.pass_time(0.001)
            finally:
                self.fibres.remove(fibre)
                self.world.timetable.kill(fibre)

    # ITS LIFE

    def begin(self) -> None:
        """Start to serve."""
        self.run(self._live)

    def run(self, work: Callable[[], None]) -> Fibre:
        """Let something run in this process, and end with it."""
        fibre = self.world.timetable.spawn(self.name, work)
        self.fibres.append(fibre)
        return fibre

    def _live(self) -> None:
        try:
            _first(self.local, self.ledger, Scan())
            for _ in range(_MOST_STEPS):
                if self.reconciler.step() > 0:
                    break
        except LedgerError as error:
            self.world.tell(f"{self.name} cannot start: {error.reason}")
            self.end()
            self.host.start(self.random.uniform(1, 5))
            return
        self.has_started = True
        self.agent._run()
        self._leave()

    def _step(self) -> float:
        try:
            return self.reconciler.step()
        except LedgerError:
            self.reconciler.be_cut_off()
            raise
        except Exception as error:
            self.world.timetable.fail(error)
            raise

    def leave(self) -> None:
        """Stop, as on SIGTERM."""
        self.is_leaving = True
        self.agent._closing = True
        self.bell.ring()

    def _leave(self) -> None:
        try:
            self.reconciler.leave()
        except LedgerError as error:
            self.world.tell(f"{self.name} could not leave: {error.reason}")
        self.end()

    def end(self) -> None:
        """Be no more, at once: ``kill -9``, or the end of `begin`'s work."""
        self.host.processes.pop(self.pid, None)
        self.has_started = False
        listening = self.wire.listening
        if listening is not None:
            after = 0.0 if self.host.is_on and not self.host.is_cut else 8.0
            self.world.timetable.call(after, listening.break_)
        for fibre in self.fibres:
            if fibre is not self.world.timetable.current:
                self.world.timetable.kill(fibre)

    # WHAT IS BELOW THE ENGINE

    def pass_time(self, seconds: float) -> None:
        """Let time pass in this process; more of it, while it is stopped."""
        timetable = self.world.timetable
        timetable.sleep(seconds)
        while self.stopped_until > timetable.now:
            timetable.sleep(min(self.stopped_until - timetable.now, 1.0))

    def serves(
        self, number: int, packages: Mapping[str, Package], stopped: frozenset[str]
    ) -> None:
        """Be told what requests are answered with from now on."""
        found = {name: one.artifact.digest for name, one in packages.items()}
        self.world.promises.serves(self, number, found, stopped)


def all_of(hosts: Iterable[Host]) -> list[Process]:
    """Return all processes that take part."""
    return [p for h in hosts for p in h.processes.values() if p.has_started]


__all__: list[Any] = ["Host", "Process", "all_of"]
