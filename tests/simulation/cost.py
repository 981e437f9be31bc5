"""What one deployment costs the database, and what a cluster that is idle does."""

from __future__ import annotations

from dataclasses import dataclass

from simulation.people import Deployment, proposal_of
from simulation.world import Shape, World, simulated


@dataclass(frozen=True, slots=True)
class Cost:
    """Statements and messages of a quiet cluster.  Seconds are simulated ones.

    ``spread`` is from the first node's switch to the last one's.
    """

    nodes: int
    statements: int  # of a deployment, from the proposal until all nodes serve it
    notifications: int
    seconds: float
    spread: float
    idle_statements: float  # for each node and minute


def cost_of(nodes: int, seed: int = 0) -> Cost:
    """Deploy one package to so many machines, in a cluster in which all is well."""
    shape = Shape(hosts=nodes, most_hosts=nodes, slow=0.0, failing=0.0)
    world = World(seed, shape)
    world.slow = 0.0
    with simulated(world):
        world.start()
        world.wait_until_well()
        _deploy(world)  # so that nothing is done for the first time
        world.timetable.run(world.timetable.now + 60)
        before = world.server.statements.total()
        world.timetable.run(world.timetable.now + 60)
        idle = (world.server.statements.total() - before) / nodes
        return _measured(world, nodes, idle)


def _measured(world: World, nodes: int, idle: float) -> Cost:
    server = world.server
    before, told, began = server.statements.total(), server.told, world.timetable.now
    number = _deploy(world)
    served = world.promises.were_active[number]
    return Cost(
        nodes=nodes,
        statements=server.statements.total() - before,
        notifications=server.told - told,
        seconds=max(served.switched) - began,
        spread=max(served.switched) - min(served.switched),
        idle_statements=idle,
    )


def _deploy(world: World) -> int:
    """Deploy, and let time pass until all have written down that they serve it."""
    process = world.nodes[0]
    text = world.author.text("a")
    made = Deployment(world, process, proposal_of("somebody", (text,)))
    made.texts = (text,)
    process.run(made.run)
    while not made.number or world.promises.active != made.number or world.unwell():
        world.timetable.run(world.timetable.now + 0.01)
    return made.number
