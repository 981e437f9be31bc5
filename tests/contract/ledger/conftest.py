"""The suite runs on every implementation of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from contract.ledger.scene import Scene, SqlitePlace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from contract.ledger.scene import Place


@pytest.fixture(name="place", params=[SqlitePlace])
def _place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    make: Callable[[Path], Place] = request.param
    place = make(tmp_path)
    yield place
    place.close()


@pytest.fixture(name="scene")
def _scene(place: Place) -> Scene:
    return Scene(place)
