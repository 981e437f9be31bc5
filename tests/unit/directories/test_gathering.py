"""What comes together goes together: how long a directory waits for more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from pointsman.cluster import Actor
from pointsman.directories.desk import Desk
from pointsman.directories.place import GATHER, QUIET
from pointsman.directories.taking import Taking
from pointsman.sources.arrivals import SETTLE, Look

if TYPE_CHECKING:
    from pathlib import Path


class Scene:
    """A directory that is told what it sees, by a clock that is set by hand."""

    def __init__(self, path: Path) -> None:
        self.now = 100.0
        nothing = cast(Any, None)
        desk = Desk(
            node="node",
            ledger=nothing,
            deployments=nothing,
            alive=nothing,
            importers=nothing,
            wait=1.0,
            clock=lambda: self.now,
            closing=threading.Event(),
        )
        self.place = Taking(desk, path, "here", Actor("a test"))

    def look(self, after: float = 0.0, fresh: int = 0) -> float | None:
        """Return in how many seconds to look again; None if all is there."""
        self.now += after
        look = Look(1, {}, {}, moving=fresh > 0, fresh=fresh)
        return self.place.gathering(look)


@pytest.fixture(name="scene")
def _scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_one_file_waits_for_one_quiet_look(scene: Scene) -> None:
    """It shall be served within a tenth of a second."""
    assert SETTLE == scene.look(fresh=1)
    assert None is scene.look(SETTLE)


def test_while_something_moves_all_wait(scene: Scene) -> None:
    """Broken on purpose: without this rule each look made a generation of its own."""
    for _ in range(10):
        assert None is not scene.look(SETTLE, fresh=1)
    assert None is scene.look(SETTLE)


def test_many_files_wait_longer(scene: Scene) -> None:
    """Who copies hundreds pauses now and then.

    Broken on purpose: with the same moment for one file and for five hundred, a busy
    machine made four generations of 500 files.
    """
    for _ in range(5):
        scene.look(0.1, fresh=60)
        left = scene.look(0.05)
        assert left is not None
        assert left <= QUIET
    assert None is scene.look(QUIET)
    scene.look(fresh=1)
    assert None is scene.look(SETTLE)  # the next batch is counted anew


def test_waiting_has_an_end(scene: Scene) -> None:
    """Somebody who writes without end does not hold up the others for ever."""
    looks = 0
    while scene.look(0.1, fresh=1) is not None:
        looks += 1
    assert GATHER == pytest.approx(looks * 0.1, abs=0.15)
