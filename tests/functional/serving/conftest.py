"""A place to serve from, which leaves no process behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functional.serving.place import Place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(name="place")
def _place(tmp_path: Path) -> Iterator[Place]:
    place = Place(tmp_path)
    try:
        yield place
    finally:
        place.end_all()
