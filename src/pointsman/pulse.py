"""Signs of life beside work that may take longer than a lease.  Effects."""

from __future__ import annotations

import threading
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Pulse(Protocol):
    """Calls something again and again, while a block runs."""

    def __call__(
        self, beat: Callable[[], None], every: float
    ) -> AbstractContextManager[None]:
        """Call ``beat`` every so many seconds; never after the end of the block."""
        ...


@contextmanager
def threaded(beat: Callable[[], None], every: float) -> Iterator[None]:
    """Be a `Pulse` with a thread of its own.

    A process that is stopped, or whose interpreter lock is kept by a hang in C, has no
    pulse: the others are right not to wait for it.
    """
    over = threading.Event()

    def run() -> None:
        while not over.wait(every):
            beat()

    thread = threading.Thread(target=run, name="pointsman-pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
