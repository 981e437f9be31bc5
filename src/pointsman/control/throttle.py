"""Slows down those who try tokens and passwords.  Effects."""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

_FREE = 3  # failures that cost nothing: somebody mistypes
_FIRST, _LONGEST = 0.05, 1.0  # seconds
_FORGOTTEN = 300.0  # seconds after which an address is new again
_ADDRESSES = 1024  # remembered
_SLEEPERS = 2  # threads that wait at the same time


class Throttle:
    """Counts failures by client address.  Any thread.

    Only failures wait, so nobody with a right token is kept out by others behind
    the same address.  A thread of the server that waits serves nobody, so few wait at
    the same time; with 256 random bits a token is not found by trying anyway, what
    this spares is the log and the ledger.  A password may be found: before one is
    compared, `early` tells whether its address has to come back later.
    """

    def __init__(
        self,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Start with nobody."""
        self._sleep = sleep
        self._clock = clock
        self._lock = threading.Lock()  # guards the next
        self._failures: OrderedDict[str, tuple[int, float]] = OrderedDict()
        self._sleepers = threading.BoundedSemaphore(_SLEEPERS)

    def failed(self, address: str, reason: str) -> None:
        """Count one, log it, and wait."""
        count = self._count(address)
        if count & (count - 1) == 0:  # the first, second, fourth ...: no flood
            _log.warning(
                "refused credentials from %s, %d so far: %s", address, count, reason
            )
        delay = delay_after(count)
        if delay and self._sleepers.acquire(blocking=False):
            try:
                self._sleep(delay)
            finally:
                self._sleepers.release()

    def early(self, address: str) -> float:
        """Return for how many seconds an attempt of this address comes too early.

        However many connections try at once, no more are heard than one by one.
        """
        with self._lock:
            count, last = self._failures.get(address, (0, 0.0))
        return max(0.0, last + delay_after(count) - self._clock())

    def _count(self, address: str) -> int:
        now = self._clock()
        with self._lock:
            count, last = self._failures.pop(address, (0, now))
            count = count + 1 if now - last < _FORGOTTEN else 1
            self._failures[address] = count, now
            if len(self._failures) > _ADDRESSES:
                self._failures.popitem(last=False)
            return count


def delay_after(failures: int) -> float:
    """Return how long the answer to the last of so many failures waits."""
    if failures <= _FREE:
        return 0.0
    steps = min(failures - _FREE - 1, 10)
    return min(_FIRST * 2.0**steps, _LONGEST)
