"""One simulated cluster, from a seed to the end of all faults and beyond."""

from __future__ import annotations

import contextlib
import hashlib
import logging
from collections import deque
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final

from pointsman import agent
from pointsman.cluster import Actor, NodeState, State
from pointsman.errors import LedgerError, Refused
from pointsman.ledger import postgresql, postgresql_session, schema
from simulation.faults import Faults
from simulation.packages import Shelf
from simulation.people import Author, Deployment, proposal_of
from simulation.processes import Host, all_of
from simulation.promises import Broken, Promises
from simulation.server import Server
from simulation.tasks import Timetable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.processes import Process

_LINES: Final = 60  # of the story that are told of a run that failed


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a run is, and how rough.  Seconds, and shares of one."""

    hosts: int = 3
    processes: int = 1  # on each host
    most_hosts: int = 5
    trouble: float = 90.0  # for how long things go wrong
    between_faults: float = 8.0
    between_deployments: float = 5.0
    lease: float = 15.0
    absent_after: float = 60.0
    timeout: float = 30.0
    history: int = 20
    slow: float = 0.1  # of the texts
    failing: float = 0.15
    faults: tuple[str, ...] = ()  # the kinds that there are; drawn if there are none
    patience: float = 200.0  # until all nodes have to be well again


def drawn(random: Random, nodes: int) -> Shape:
    """Return a shape with about so many nodes."""
    processes = random.choice([1, 1, 2, 3])
    hosts = max(1, nodes // processes)
    lease = random.choice([5.0, 15.0])
    return Shape(
        hosts=hosts,
        processes=processes,
        most_hosts=hosts + 2,
        trouble=random.choice([30.0, 90.0]),
        between_faults=random.choice([3.0, 8.0, 20.0]),
        between_deployments=random.choice([2.0, 5.0, 15.0]),
        lease=lease,
        absent_after=4 * lease,
        timeout=random.choice([10.0, 30.0]),
        history=random.choice([3, 20]),
        failing=random.choice([0.0, 0.15]),
    )


class World:
    """Everything, and the story of it."""

    def __init__(self, seed: int, shape: Shape) -> None:
        self.seed, self.shape = seed, shape
        self.random = Random(seed)
        self.timetable = Timetable()
        self.server = Server(self.timetable, self.random)
        self.promises = Promises(self.server, shape.absent_after, self.serving)
        self.shelf = Shelf()
        self.hosts: dict[str, Host] = {}
        self.deploying = 0  # people who wait for what becomes of a deployment
        self.is_calm = False  # nobody deploys any more
        self.deaf = 0.0  # how many answers of the database are lost
        self.slow = 0.01  # how many ways take long
        self.author = Author(self)
        self.story: deque[str] = deque(maxlen=_LINES)
        self._digest = hashlib.sha256()
        for _ in range(shape.hosts):
            self.add_host()

    def add_host(self) -> Host:
        """Buy a machine."""
        name = f"h{len(self.hosts) + 1}"
        self.hosts[name] = Host(self, name)
        return self.hosts[name]

    def tell(self, line: str) -> None:
        """Add a line to the story."""
        told = f"{self.timetable.now:9.3f}  {line}"
        self.story.append(told)
        self._digest.update(told.encode())

    @property
    def digest(self) -> str:
        """Return what two runs have in common only if they were the same."""
        now = f"{self.timetable.now!r} {self.timetable.switches}"
        return hashlib.sha256(self._digest.digest() + now.encode()).hexdigest()

    @property
    def nodes(self) -> list[Process]:
        """Return all processes that take part now."""
        return all_of(self.hosts.values())

    def serving(self, name: str) -> int | None:
        """Return what a node serves; None if it is no more."""
        host, _, pid = name.partition(":")
        process = self.hosts[host].processes.get(int(pid))
        return None if process is None else process.local.number

    # ONE RUN

    def start(self) -> None:
        """Start all processes, about at once."""
        for host in self.hosts.values():
            for _ in range(self.shape.processes):
                host.start(self.random.uniform(0, 1))

    def be_in_trouble(self) -> Faults:
        """Let faults happen, and people deploy."""
        server = self.server
        server.lost, server.doubled, server.late = (
            self.random.choice([0.0, 0.05, 0.5]) for _ in range(3)
        )
        self.deaf = self.random.choice([0.0, 0.0, 0.002])
        faults = Faults(self)
        self.tell(f"seed {self.seed}: {', '.join(faults.kinds)}; {self.shape}")
        self.timetable.call(self.random.uniform(1, 10), faults.begin)
        self.timetable.call(1.0, self.deploy)
        self.timetable.run(self.shape.trouble)
        return faults

    def deploy(self) -> None:
        """Let somebody deploy something, and others later."""
        if self.is_calm:
            return
        nodes = self.nodes
        if nodes:
            process = self.random.choice(nodes)
            process.run(self.author.deployment(process).run)
        self.timetable.call(
            self.random.expovariate(1 / self.shape.between_deployments), self.deploy
        )

    def recover(self, faults: Faults) -> None:
        """End all faults; then all nodes must get well, and a deployment succeed."""
        faults.end()
        self.is_calm = True
        self.deaf = 0.0
        self.tell("all faults have ended")
        self._resume_all()
        self.wait_until_well()
        self.deploy_for_sure()
        self.wait_until_well()

    def _resume_all(self) -> None:
        """Let somebody end all drains, now and again: who drained may be dead."""
        rows = self.server.tables.rows(schema.node)
        drained = [row["id"] for row in rows if row["state"] == NodeState.DRAINING]
        nodes = self.nodes
        for name in drained if nodes else ():
            process = self.random.choice(nodes)
            process.run(lambda p=process, n=name: _resume(p, n))  # type: ignore[misc]
        self.timetable.call(5.0, self._resume_all)

    def wait_until_well(self) -> None:
        """Let time pass until every node serves what is active.

        Raises:
            Broken: that did not happen in time.

        """
        end = self.timetable.now + self.shape.patience
        while self.timetable.now < end:
            self.timetable.run(self.timetable.now + 0.5)
            if not self.unwell():
                return
        raise Broken(f"not well {self.shape.patience} s later: {self.unwell()}")

    def unwell(self) -> list[str]:
        """Return what is not as it shall be when nothing goes wrong."""
        on_way = (State.STAGING, State.QUEUED)
        found = [f"{n} is {s}" for n, s in self.promises.states.items() if s in on_way]
        if self.deploying:
            found.append(f"{self.deploying} people wait")
        rows = {row["id"]: row for row in self.server.tables.rows(schema.node)}
        for host in self.hosts.values():
            if not any(p.has_started for p in host.processes.values()):
                found.append(f"nothing runs on {host.name}")
            found += [
                why
                for process in host.processes.values()
                if (why := self._is_unwell(process, rows.get(process.name)))
            ]
        return found

    def _is_unwell(self, process: Process, row: dict[str, Any] | None) -> str:
        if row is None:
            return f"{process.name} is not known"
        if process.loads.is_loading or process.wire.waiting or process.agent.cut_off:
            return f"{process.name} is busy"
        said = row["state"], row["generation"]
        active, served = self.promises.active, process.local.number
        if row["state"] == NodeState.BEHIND:
            return "" if self._fails_there(process) else f"{process.name} is behind"
        if served != active or said != (NodeState.READY, active):
            return f"{process.name} serves {served}, says {said}; {active} is active"
        if row["lease_until"] <= self.server.clock():
            return f"nobody has heard of {process.name}"
        return ""

    def _fails_there(self, process: Process) -> bool:
        wanted = self.promises.were_active[self.promises.active].packages
        texts = (self.shelf.texts[digest] for digest in wanted.values())
        return any(t.fails or process.host.name in t.fails_on for t in texts)

    def deploy_for_sure(self) -> int:
        """Deploy what loads everywhere, instead of all that may not.

        Raises:
            Broken: it did not become active.

        """
        process = self.random.choice(self.nodes)
        texts = tuple(
            self.shelf.add(type(text)(text.package, f"{text.package} at last".encode()))
            for text in (self.author.text(name) for name in "abcde")
        )
        made = Deployment(self, process, proposal_of("the last one", texts))
        made.texts = texts
        process.run(made.run)
        self.timetable.run(self.timetable.now + self.shape.timeout)
        if made.number not in self.promises.were_active:
            states = self.promises.states.get(made.number)
            votes = self.promises.votes_told(made.number)
            raise Broken(
                f"{made.number}, in which nothing is wrong, is {states}: {votes}"
            )
        return made.number

    def close(self) -> None:
        """End all processes."""
        self.timetable.close()


def _resume(process: Process, name: str) -> None:
    with contextlib.suppress(LedgerError, Refused):
        process.ledger.resume(name, Actor("somebody else"))


@contextlib.contextmanager
def simulated(world: World) -> Iterator[World]:
    """Let the product tell the time by the simulation; end it all at the end."""
    modules: tuple[Any, ...] = (agent, postgresql, postgresql_session)
    before = [module.monotonic for module in modules]
    silenced = logging.root.manager.disable
    logging.disable()  # what goes wrong here is no news
    for module in modules:
        module.monotonic = lambda: world.timetable.now
    try:
        yield world
    finally:
        world.close()
        logging.disable(silenced)
        for module, clock in zip(modules, before, strict=True):
            module.monotonic = clock


def run(seed: int, shape: Shape | None = None, *, nodes: int = 4) -> World:
    """Run one seed.

    Raises:
        Broken: a promise was not kept; the message has the seed and the story.

    """
    world = World(seed, shape or drawn(Random(seed), nodes))
    with simulated(world):
        try:
            world.start()
            world.recover(world.be_in_trouble())
        except Exception as error:
            story = "\n".join(world.story)
            again = f"POINTSMAN_SEED={seed}/{nodes} bin/test tests/simulation"
            told = f"seed {seed}, {nodes} nodes: {error!r}"
            raise Broken(f"{told}\n{story}\nAgain: {again}") from error
    return world
