"""The simulated ledger passes the suite of the real ones.

Its tables, its statements and its locks are those of `simulation.database`; what
stands above them is the product's own.  What needs a second process is left to
databases that have one.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.ledger import (
    test_artifacts,
    test_ballots,
    test_directories,
    test_generations,
    test_model,
    test_nodes,
    test_people,
    test_proposals,
    test_together,
)
from contract.ledger.scene import Scene
from simulation.place import MemoryPlace

if TYPE_CHECKING:
    from contract.ledger.scene import Place

SUITES = (
    test_artifacts,
    test_ballots,
    test_directories,
    test_generations,
    test_model,
    test_nodes,
    test_people,
    test_proposals,
    test_together,
)

#: These start processes that open the ledger by its URL, or damage its file.
OF_PROCESSES = {
    "test_opening_at_once",
    "test_killed_within_a_transaction",
    "test_a_forked_child_uses_it",
    "test_the_parent_may_end_first",
    "test_forking_while_others_write",
    "test_a_fork_that_nobody_saw",
}

for _suite in SUITES:
    _word = _suite.__name__.rpartition("test_")[2]
    globals().update(
        {
            f"test_{_word}_{_name.removeprefix('test_')}": _test
            for _name, _test in vars(_suite).items()
            if _name.startswith("test_") and _name not in OF_PROCESSES
        }
    )


@pytest.fixture(name="place")
def _place() -> Place:
    return MemoryPlace(Path())


@pytest.fixture(name="scene")
def _scene(place: Place) -> Scene:
    return Scene(place)
