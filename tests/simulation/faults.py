"""What goes wrong, and when: drawn from the seed, and ended at a given moment."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pointsman.cluster import Actor
from pointsman.errors import LedgerError, Refused
from simulation.processes import all_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulation.world import World


class Faults:
    """Breaks things, each for a while.  Which kinds a run has is drawn, too."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        kinds: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "restart": self._restart,
            "power": self._power,
            "cut": self._cut,
            "stop": self._stop,
            "failover": self._fail_over,
            "clock": self._clock,
            "drain": self._drain,
            "grow": self._grow,
        }
        chosen = self._random.randint(1, len(kinds))
        drawn = sorted(self._random.sample(sorted(kinds), chosen))
        self.kinds = world.shape.faults or tuple(drawn)
        self._ways = [kinds[name] for name in self.kinds]
        self._is_over = False

    def begin(self) -> None:
        """Break one thing after the other, in callbacks of the timetable."""
        if not self._is_over:
            if all_of(self._world.hosts.values()):
                self._random.choice(self._ways)()
            delay = self._random.expovariate(1 / self._world.shape.between_faults)
            self._world.timetable.call(delay, self.begin)

    def end(self) -> None:
        """Let everything be well from now on."""
        self._is_over = True
        server = self._world.server
        server.lost = server.doubled = server.late = 0.0
        for host in self._world.hosts.values():
            host.mend()
            host.is_on = True
            for process in host.processes.values():
                process.stopped_until = self._world.timetable.now
                process.wire.deaf = 0.0
            if not host.processes:
                host.start()

    def _later(self, seconds: float, work: Callable[[], None]) -> None:
        self._world.timetable.call(seconds, work)

    # PROCESSES

    def _kill(self) -> None:
        process = self._random.choice(all_of(self._world.hosts.values()))
        self._world.tell(f"{process.name} is killed")
        process.end()
        process.host.start(self._random.uniform(0.1, 20))

    def _restart(self) -> None:
        process = self._random.choice(all_of(self._world.hosts.values()))
        self._world.tell(f"{process.name} is restarted")
        process.host.start(self._random.uniform(0, 2))
        process.leave()

    def _power(self) -> None:
        host = self._random.choice(list(self._world.hosts.values()))
        if not host.is_on:
            return
        self._world.tell(f"{host.name} has no power")
        host.is_on = False
        for process in list(host.processes.values()):
            process.end()

        def again() -> None:
            if not host.is_on:
                host.is_on = True
                host.start()

        self._later(self._random.uniform(1, 90), again)

    def _stop(self) -> None:
        process = self._random.choice(all_of(self._world.hosts.values()))
        seconds = self._random.choice([1.0, 6.0, 12.0, 25.0, 80.0])
        self._world.tell(f"{process.name} is stopped for {seconds} s")
        process.stopped_until = self._world.timetable.now + seconds

    def _drain(self) -> None:
        target = self._random.choice(all_of(self._world.hosts.values()))
        by = self._random.choice(all_of(self._world.hosts.values()))
        actor = Actor("somebody")

        def drain() -> None:
            try:
                by.ledger.drain(target.name, actor)
                by.pass_time(self._random.uniform(1, 30))
                by.ledger.resume(target.name, actor)
            except (LedgerError, Refused):
                return

        by.run(drain)

    def _grow(self) -> None:
        if len(self._world.hosts) < self._world.shape.most_hosts:
            self._world.add_host().start()
        else:
            host = self._random.choice(list(self._world.hosts.values()))
            if host.is_on and len(host.processes) < _MOST_PROCESSES:
                host.start()

    # THE NETWORK AND THE DATABASE

    def _cut(self) -> None:
        hosts = list(self._world.hosts.values())
        some = self._random.sample(hosts, self._random.randint(1, len(hosts)))
        names = ", ".join(host.name for host in some)
        self._world.tell(f"{names}: cut off")
        for host in some:
            if not host.is_cut:
                host.cut()
                self._later(self._random.choice([0.5, 5.0, 20.0, 90.0]), host.mend)

    def _fail_over(self) -> None:
        seconds = self._random.choice([0.05, 1.0, 5.0, 30.0])
        self._world.tell(f"the database is away for {seconds} s")
        self._world.server.fail_over(seconds, self._random.uniform(-2, 2))

    def _clock(self) -> None:
        step = self._random.choice([-3600.0, -30.0, -5.0, 5.0, 30.0, 3600.0])
        self._world.tell(f"the clock of the database is set by {step} s")
        self._world.server.offset += step


_MOST_PROCESSES: Final = 3
