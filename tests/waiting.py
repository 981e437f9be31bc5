"""Waiting for a condition, with an end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Found = TypeVar("Found")


def wait_for(condition: Callable[[], Found], what: str, seconds: float = 20.0) -> Found:
    """Return the first true answer of ``condition``; fail the test after a while."""
    end = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            message = f"not within {seconds:g} s: {what}"
            raise AssertionError(message)
        time.sleep(0.005)
