"""Those who deploy, from any node, and are told what became of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from pointsman.cluster import Actor, Change, Proposal, State
from pointsman.errors import DamagedError, LedgerError, Refused
from simulation.packages import Text

if TYPE_CHECKING:
    from random import Random

    from pointsman.cluster import Proposed
    from simulation.processes import Process
    from simulation.world import World

_PACKAGES: Final = tuple("abcde")
_DECIDED: Final = (State.ACTIVE, State.RETIRED, State.FAILED)
_LOOKS: Final = 0.25  # seconds between two looks at what became of it


class Deployment:
    """One person's one deployment, as a handler of the HTTP API does it."""

    def __init__(self, world: World, process: Process, proposal: Proposal) -> None:
        self._world = world
        self._process = process
        self.proposal = proposal
        self.texts: tuple[Text, ...] = ()
        self.number = 0

    def run(self) -> None:
        """Propose it, wait for the verdict, tell it."""
        self._world.deploying += 1
        try:
            self._run()
        finally:
            self._world.deploying -= 1

    def _run(self) -> None:
        shape = self._world.shape
        try:
            for text in self.texts:
                size = len(text.content)
                self._process.ledger.store(text.digest, size, [text.content])
            made = self._process.ledger.propose(self.proposal, timeout=shape.timeout)
        except (LedgerError, Refused) as error:
            self._world.tell(f"{self._process.name} does not propose it: {error}")
            return
        self._world.tell(f"{self._process.name} proposed {made.number}")
        self.number = made.number
        self._process.agent.wake()
        self._follow(made)

    def _follow(self, made: Proposed) -> None:
        timetable, shape = self._world.timetable, self._world.shape
        end = timetable.now + shape.timeout * 1.5
        while not self._is_told(made.number):
            if timetable.now > end and not made.unchanged:
                try:
                    self._process.ledger.abort(made.number, "nobody waits any more")
                except LedgerError:
                    return
                end = timetable.now + shape.timeout
            self._process.pass_time(_LOOKS)

    def _is_told(self, number: int) -> bool:
        try:
            found = self._process.ledger.generation(number)
        except LedgerError:
            return False
        if number == 0 or found is None:
            return True  # nothing was deployed yet; or it was pruned meanwhile
        if found.state not in _DECIDED:
            return False
        self._world.tell(f"{number} is {found.state}: {found.reason}")
        self._world.promises.told(number, found.state)
        return True


def proposal_of(
    actor: str, texts: tuple[Text, ...], gone: tuple[str, ...] = ()
) -> Proposal:
    """Return the proposal of these texts, without those packages."""
    changes = (*(Change(t.package, t.entry) for t in texts), *map(Change, gone))
    return Proposal(Actor(actor), "deploy", changes)


class Author:
    """Makes up what is deployed."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._count = 0

    def text(self, package: str) -> Text:
        """Write a new version; what happens when it is loaded is drawn."""
        random, hosts = self._world.random, sorted(self._world.hosts)
        self._count += 1
        content = f"{package} {self._count}".encode()
        kind = random.random()
        shape = self._world.shape
        if kind < shape.slow:
            seconds = random.choice([0.5, 3.0, shape.lease * 1.4])
            text = Text(package, content, seconds)
        elif kind < shape.slow + shape.failing:
            some = frozenset(random.sample(hosts, random.randint(1, len(hosts))))
            text = random.choice(
                [Text(package, content, 0.01, some), Text(package, content, fails=0.2)]
            )
        else:
            text = Text(package, content)
        return self._world.shelf.add(text)

    def deployment(self, process: Process) -> Deployment:
        """Make up a deployment, a rollback, an end, a stop."""
        random = self._world.random
        kind = random.random()
        actor = f"somebody at {process.name}"
        if kind < 0.08:
            service = f"{random.choice(_PACKAGES)}.service"
            stops = random.random() < 0.5
            proposal = Proposal(
                Actor(actor),
                "stop" if stops else "start",
                stop=frozenset([service] if stops else []),
                start=frozenset([] if stops else [service]),
            )
            return Deployment(self._world, process, proposal)
        if kind < 0.16:
            gone = (random.choice(_PACKAGES),)
            return Deployment(self._world, process, proposal_of(actor, (), gone))
        texts = self._texts(random, is_rollback=kind < 0.3)
        made = Deployment(self._world, process, proposal_of(actor, texts))
        made.texts = texts
        return made

    def _texts(self, random: Random, *, is_rollback: bool) -> tuple[Text, ...]:
        names = random.sample(_PACKAGES, random.choice([1, 1, 1, 2, 3]))
        known = list(self._world.shelf.texts.values())
        if is_rollback and known:
            chosen = {text.package: text for text in random.sample(known, 1)}
            return tuple(chosen.values())
        return tuple(self.text(name) for name in names)


__all__ = ["Author", "DamagedError", "Deployment", "proposal_of"]
