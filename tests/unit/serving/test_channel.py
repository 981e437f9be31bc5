"""The loop and a worker at one connection."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pointsman.serving.channel import Channel


class Watched(threading.Condition):
    """A lock that tells how it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[object, ...]] = []
        inner = self.acquire

        def acquire(*words: Any, **named: Any) -> bool:
            self.asked.append((*words, *named.values()))
            return inner(*words, **named)

        self.acquire = acquire  # type: ignore[method-assign]


def test_the_loop_waits_for_a_worker_that_writes() -> None:
    """It gives the interpreter away, and goes on to other connections after a moment.

    Broken on purpose: without the wait the loop asks poll(2) and the lock in turn, some
    ten thousand times a second, and the server takes nearly twice the processor's time.
    """
    channel = Channel.__new__(Channel)
    channel.outbuf_lock = lock = Watched()
    with ThreadPoolExecutor(1) as worker:
        worker.submit(lock.acquire).result()
        channel._flush_some_if_lockable()
        worker.submit(lock.release).result()

    assert [(), (0.001,)] == lock.asked
