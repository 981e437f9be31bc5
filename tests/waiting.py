"""Waiting for a condition, with an end."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Found = TypeVar("Found")


def wait_for(condition: Callable[[], Found], what: str, seconds: float = 20.0) -> Found:
    """Return the first true answer of ``condition``; fail the test after a while.

    It is asked less and less often, so that what is waited for gets the processor.
    """
    start = time.monotonic()
    while True:
        found = condition()
        if found:
            return found
        waited = time.monotonic() - start
        if waited > seconds:
            message = f"not within {seconds:g} s: {what}"
            raise AssertionError(message)
        time.sleep(min(max(0.005, waited / 10), 0.1))
