"""Clusters in which everything goes wrong, by the seed; `bin/soak` runs thousands.

Put in on purpose, and found: see `simulation.mutants`.  A seed that fails is told, and
``POINTSMAN_SEED=SEED/NODES bin/test tests/simulation`` runs it again, exactly.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import pytest

from simulation.cost import cost_of
from simulation.mutants import MUTANTS, leases_cut_without_lock
from simulation.promises import Broken
from simulation.world import Shape, World, run, simulated

if TYPE_CHECKING:
    from collections.abc import Callable

#: How many seeds with so many nodes.
_FEW: Final = {3: 12, 6: 6, 20: 1, 50: 1}

#: Many nodes that give signs of life often, while the clock is set again and again.
_CLOCKS: Final = Shape(
    hosts=6,
    processes=4,
    trouble=40.0,
    between_faults=1.0,
    between_deployments=100.0,
    lease=3.0,
    absent_after=20.0,
    faults=("clock",),
)


def _chosen() -> list[tuple[int, int]]:
    """Return the seeds, and how many nodes each has."""
    wanted = os.environ.get("POINTSMAN_SEED")
    if wanted:
        seed, _, nodes = wanted.partition("/")
        return [(int(seed), int(nodes or 4))]
    return [(seed, nodes) for nodes, count in _FEW.items() for seed in range(count)]


@pytest.mark.parametrize(("seed", "nodes"), _chosen())
def test_all_promises_are_kept(seed: int, nodes: int) -> None:
    """Crashes, cuts, failovers, clocks, slow and failing loads: nothing is broken."""
    world = run(seed, nodes=nodes)

    assert world.promises.steps["switches"] > 0


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_product_is_found_out(
    mutant: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A lock, a comparison, a vote or a look that is left out breaks a promise."""
    shape = None
    if mutant is leases_cut_without_lock:
        shape = _CLOCKS
    mutant(monkeypatch)
    with pytest.raises(Broken, match="Again: POINTSMAN_SEED="):
        _run_some(shape)


def test_who_loads_for_long_is_not_silent() -> None:
    """Where nothing goes wrong, loads of many leases fail nothing.

    Mutant: `Reconciler.alive` gives no sign.
    """
    shape = Shape(lease=5.0, timeout=120.0, slow=1.0, failing=0.0, trouble=600.0)
    for seed in range(3):
        world = World(seed, replace(shape, between_deployments=100.0))
        with simulated(world):
            world.start()
            world.timetable.call(2.0, world.deploy)
            world.timetable.run(shape.trouble)

        assert not world.promises.failed, "\n".join(world.story)
        assert len(world.promises.were_active) > 2


def _run_some(shape: Shape | None) -> None:
    for seed in range(12):
        run(seed, shape, nodes=4)


def test_a_seed_is_one_story() -> None:
    """The same seed is the same run, to the last switch, in every process."""
    code = "from simulation.world import run; print(run(11, nodes=4).digest)"
    path = os.pathsep.join(sys.path)
    told = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": chance},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            text=True,
        ).stdout.strip()
        for chance in ("1", "2")
    }

    assert {run(11, nodes=4).digest} == told


def test_a_deployment_needs_a_number_of_statements_for_each_node() -> None:
    """Twice the nodes need twice the statements, and no more of each."""
    small, large = cost_of(10), cost_of(40)

    assert large.statements / large.nodes <= 1.2 * small.statements / small.nodes
    assert large.notifications <= 3 * large.nodes
    assert large.idle_statements <= 1.2 * small.idle_statements
