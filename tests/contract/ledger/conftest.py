"""The suite runs on every implementation of the ledger."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from contract.ledger.scene import MEMORY, PostgresqlPlace, Scene, SqlitePlace

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from contract.ledger.scene import Place


@pytest.fixture(name="folder")
def _folder() -> Iterator[Path]:
    """Give an empty folder, in memory where there is some."""
    with tempfile.TemporaryDirectory(dir=MEMORY, prefix="ledger-") as name:
        yield Path(name)


@pytest.fixture(name="place", params=[SqlitePlace, PostgresqlPlace])
def _place(request: pytest.FixtureRequest, folder: Path) -> Iterator[Place]:
    make: Callable[[Path], Place] = request.param
    place = make(folder)
    yield place
    place.close()


@pytest.fixture(name="scene")
def _scene(place: Place) -> Scene:
    return Scene(place)
