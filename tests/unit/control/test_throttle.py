"""Those who try tokens are slowed down, and nobody else."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from pointsman.control.throttle import Throttle, delay_after

if TYPE_CHECKING:
    import pytest


def test_delays_grow_to_an_end() -> None:
    """The first ones are free, then they double, and no answer waits for more."""
    assert [0.0, 0.0, 0.0, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0] == [
        delay_after(failures) for failures in range(1, 11)
    ]
    assert 1.0 == delay_after(10**9)


def test_by_address() -> None:
    """Each address has its own count."""
    slept: list[float] = []
    throttle = Throttle(slept.append, lambda: 0.0)
    for _ in range(5):
        throttle.failed("192.0.2.1", "wrong")
    throttle.failed("192.0.2.2", "wrong")

    assert [0.05, 0.1] == slept


def test_an_address_is_new_after_a_while() -> None:
    """Five minutes without a failure forgive all."""
    slept: list[float] = []
    now = [0.0]
    throttle = Throttle(slept.append, lambda: now[0])
    for _ in range(4):
        throttle.failed("192.0.2.1", "wrong")
    now[0] = 301.0
    throttle.failed("192.0.2.1", "wrong")

    assert [0.05] == slept


def test_memory_is_bounded() -> None:
    """A million addresses need no more than a thousand, the last ones."""
    throttle = Throttle(lambda _: None, lambda: 0.0)
    for number in range(5000):
        throttle.failed(str(number), "wrong")

    assert 1024 == len(throttle._failures)
    assert "4999" in throttle._failures


def test_few_wait_at_once() -> None:
    """Threads that wait serve nobody, so a third one does not wait."""
    waiting = threading.Semaphore(0)
    go = threading.Event()

    def sleep(_: float) -> None:
        waiting.release()
        go.wait(20)

    throttle = Throttle(sleep, lambda: 0.0)
    for _ in range(3):
        throttle.failed("192.0.2.1", "wrong")
    threads = [
        threading.Thread(target=throttle.failed, args=("192.0.2.1", "wrong"))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert waiting.acquire(timeout=20)
    third = threading.Thread(target=throttle.failed, args=("192.0.2.1", "wrong"))
    third.start()
    third.join(20)  # comes back, though nobody lets it go
    ended = not third.is_alive()
    go.set()
    third.join()
    for thread in threads:
        thread.join()

    assert ended


def test_log_is_no_flood(caplog: pytest.LogCaptureFixture) -> None:
    """A thousand failures are told in ten lines, with the address."""
    throttle = Throttle(lambda _: None, lambda: 0.0)
    for _ in range(1000):
        throttle.failed("192.0.2.1", "this token is not known")

    assert 10 == len(caplog.records)
    assert "192.0.2.1, 512 so far: this token is not known" in caplog.messages[-1]
