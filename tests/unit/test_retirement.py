"""When a replaced version may end."""

from __future__ import annotations

import gc
import threading
import weakref
from typing import TYPE_CHECKING

import pytest

from fake_versions import FakeSpace, version
from pointsman import faults, retirement
from pointsman.retirement import MOST_LINGERING, Retirement
from pointsman.traffic import Pin
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pointsman.retirement import Retired
    from pointsman.traffic import Version

LONG = 3600.0


class Retiring:
    """A retirement, and what it has ended, in order."""

    def __init__(self, *, keep_warm: float = 0.0, timeout: float = LONG) -> None:
        self.ended: list[Version] = []
        self.retirement = Retirement(self.end, keep_warm=keep_warm, timeout=timeout)

    def end(self, one: Version) -> None:
        """End a version."""
        self.ended.append(one)

    def nothing_waits(self) -> bool:
        """Tell whether all have ended."""
        return not self.retirement.waiting()


@pytest.fixture(name="retiring")
def _retiring() -> Iterator[Retiring]:
    made = Retiring()
    yield made
    made.retirement.close()


@pytest.fixture(name="impatient")
def _impatient() -> Iterator[Retiring]:
    made = Retiring(timeout=0.0)
    yield made
    made.retirement.close()


@pytest.fixture(name="warm")
def _warm() -> Iterator[Retiring]:
    made = Retiring(keep_warm=LONG)
    yield made
    made.retirement.close()


def pinned(package: str = "shop", space: FakeSpace | None = None) -> Version:
    """Return a version with one request in it."""
    made = version(package, space)
    made.pins[Pin()] = (f"/{package}", 0.0)
    return made


def test_drained_version_ends(retiring: Retiring) -> None:
    """A version that nobody uses ends at once, and only once."""
    one = version()

    retiring.retirement.add([one])

    wait_for(retiring.nothing_waits, "it ends")
    assert [one] == retiring.ended


def test_pinned_version_waits(retiring: Retiring) -> None:
    """A version with a request in it ends after that request, not before."""
    held, free = pinned(), version()

    retiring.retirement.add([held])
    retiring.retirement.add([free])
    wait_for(lambda: free in retiring.ended, "the other one ends")
    before = list(retiring.ended)
    held.pins.clear()
    wait_for(retiring.nothing_waits, "it ends")

    assert [free] == before
    assert [free, held] == retiring.ended


def test_last_replaced_stays_warm(warm: Retiring) -> None:
    """What was replaced last stays; what it had replaced ends when it is drained."""
    first, second = version(), version()

    warm.retirement.add([first])
    warm.retirement.add([second])
    wait_for(lambda: warm.ended, "the older one ends")

    assert [first] == warm.ended
    assert [second] == [one.version for one in warm.retirement.waiting()]


def test_imported_version_waits_for_who_imports_it(retiring: Retiring) -> None:
    """A request may still import from what was replaced together with its version."""
    prices, letters = FakeSpace(), FakeSpace()
    library, unrelated = version("prices", prices), version("letters", letters)
    importer = pinned("shop", FakeSpace([prices]))

    retiring.retirement.add([library, importer, unrelated])
    wait_for(lambda: unrelated in retiring.ended, "the unrelated one ends")
    before = list(retiring.ended)
    importer.pins.clear()
    wait_for(retiring.nothing_waits, "all end")

    assert [unrelated] == before
    assert {library, importer, unrelated} == set(retiring.ended)


def test_lingering_is_told(impatient: Retiring) -> None:
    """A version that is held for too long is told to linger, and goes on."""
    one = pinned()

    impatient.retirement.add([one])
    wait_for(lambda: impatient.retirement.waiting()[0].lingering, "it lingers")

    assert [] == impatient.ended
    assert [False] == [pin.cut for pin in one.pins]


def test_oldest_lingering_are_cut_off(
    impatient: Retiring, caplog: pytest.LogCaptureFixture
) -> None:
    """Three versions of a package may linger; of more, the oldest are cut off."""
    old, *rest = held = [pinned() for _ in range(MOST_LINGERING + 1)]
    other = pinned("letters")

    impatient.retirement.add([other])
    for one in held:
        impatient.retirement.add([one])
    wait_for(lambda: all(pin.cut for pin in old.pins), "the oldest is cut off")
    # A look later, nobody else is.
    old.pins.clear()
    wait_for(lambda: old in impatient.ended, "the oldest ends")

    assert not any(pin.cut for one in (*rest, other) for pin in one.pins)
    assert ["shop: cut off /shop, which lingers"] == [
        r.getMessage() for r in caplog.records if r.name == retirement.__name__
    ]


def test_end_that_raises(caplog: pytest.LogCaptureFixture) -> None:
    """A version that cannot be ended is logged, and the next one ends."""
    ended: list[Version] = []

    def end(one: Version) -> None:
        if not ended:
            ended.append(one)
            raise RuntimeError("stop() of the service")
        ended.append(one)

    raising = Retirement(end, keep_warm=0.0, timeout=LONG)
    raising.add([version(), version("letters")])
    wait_for(lambda: not raising.waiting(), "both end")
    raising.close()

    assert 2 == len(ended)
    assert "shop: could not be retired" in caplog.text


def test_close_ends_everything() -> None:
    """Closing ends what is warm and what is held, in the closing thread."""
    threads: list[threading.Thread] = []
    closing = Retirement(
        lambda _: threads.append(threading.current_thread()),
        keep_warm=LONG,
        timeout=LONG,
    )
    closing.add([version(), pinned("letters")])

    closing.close()

    assert () == closing.waiting()
    assert [threading.current_thread()] * 2 == threads


def test_ended_versions_are_let_go(retiring: Retiring) -> None:
    """Nothing of the retirement holds a version that has ended."""
    one = version()
    gone = weakref.ref(one)
    retiring.retirement.add([one])
    wait_for(retiring.nothing_waits, "it ends")
    retiring.ended.clear()
    del one

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    wait_for(is_gone, "the version is collected", 5)
    assert gone() is None


class LateRetirement(Retirement):
    """Its thread takes its first look when closing has been asked for already."""

    def _run(self) -> None:
        wait_for(lambda: self._closing, "closing is asked for")
        super()._run()


def test_close_right_after_add() -> None:
    """A retirement can be closed before its thread has run for the first time."""
    closing = LateRetirement(lambda _: None, keep_warm=LONG, timeout=LONG)
    closing.add([version()])
    closer = threading.Thread(target=closing.close, daemon=True)

    closer.start()
    wait_for(lambda: not closer.is_alive(), "close() returns", 5)

    assert () == closing.waiting()


# WARM VERSIONS THAT SERVE AGAIN


def is_(wanted: Version) -> Callable[[Version], bool]:
    """Return what matches one version."""
    return lambda found: found is wanted


def test_warm_version_is_taken_back(warm: Retiring) -> None:
    """A warm version leaves retirement as it came, with its requests, and serves on."""
    one, other = pinned(), version("letters")
    warm.retirement.add([one, other])

    found = warm.retirement.take_back(is_(one))

    assert one is found
    assert [other] == [left.version for left in warm.retirement.waiting()]
    assert (None, 1) == (one.replaced_at, len(one.pins))
    assert None is warm.retirement.take_back(is_(one))


def test_latest_is_taken_back(warm: Retiring) -> None:
    """Where several match, the one that was replaced last is taken."""
    first, second = pinned(), pinned()
    warm.retirement.add([first])
    warm.retirement.add([second])

    assert second is warm.retirement.take_back(lambda _: True)


def test_taken_back_and_replaced_again(retiring: Retiring) -> None:
    """A version that served a second time ends after that, once."""
    one = pinned()
    retiring.retirement.add([one])
    retiring.retirement.take_back(is_(one))

    retiring.retirement.add([one])
    one.pins.clear()
    wait_for(retiring.nothing_waits, "it ends")

    assert [one] == retiring.ended


def test_put_back_is_no_switch(warm: Retiring) -> None:
    """What was taken and is not needed waits as before, and so do all others."""
    one, other = version(), version("letters")
    warm.retirement.add([one, other])
    before = [(w.version, w.since, w.warm_until) for w in warm.retirement.waiting()]
    since = one.replaced_at

    warm.retirement.take_back(is_(one))
    warm.retirement.put_back(one)

    after = [(w.version, w.since, w.warm_until) for w in warm.retirement.waiting()]
    assert set(before) == set(after)
    assert (since, []) == (one.replaced_at, warm.ended)


def test_put_back_ends_when_it_is_due(retiring: Retiring) -> None:
    """What was put back ends after its last request."""
    one = pinned()
    retiring.retirement.add([one])
    retiring.retirement.take_back(is_(one))
    retiring.retirement.put_back(one)

    one.pins.clear()
    wait_for(retiring.nothing_waits, "it ends")

    assert [one] == retiring.ended


def test_requests_of_what_was_taken_back_keep_what_they_see(retiring: Retiring) -> None:
    """Until it is published, its old requests may import what was replaced with it."""
    prices = FakeSpace()
    library, importer = version("prices", prices), pinned("shop", FakeSpace([prices]))
    retiring.retirement.add([library, importer])
    retiring.retirement.take_back(is_(importer))
    retiring.retirement.add([version("letters")])
    wait_for(lambda: len(retiring.ended) == 1, "the unrelated one ends")
    before = [one.loaded.package.name for one in retiring.ended]

    importer.pins.clear()
    wait_for(retiring.nothing_waits, "the library ends")

    assert ["letters"] == before


class SlowRetirement(Retirement):
    """Lets a test act between finding a version due and ending it."""

    def __init__(self, end: Callable[[Version], None]) -> None:
        super().__init__(end, keep_warm=0.0, timeout=LONG)
        self.found = threading.Event()
        self.go_on = threading.Event()

    def _due(self) -> list[Retired]:
        due = super()._due()
        if due:
            self.found.set()
            assert self.go_on.wait(20)
        return due


class Careless(SlowRetirement):
    """The race as it would be lost: what was found due is ended without a look."""

    def _finish(self, one: Retired) -> None:
        self._end(one.version)
        with self._wake:
            if one in self._waiting:
                self._waiting.remove(one)


def taken_in_the_window(kind: type[SlowRetirement]) -> tuple[bool, list[Version]]:
    """Take a version back after it was found due; tell whether, and what ended."""
    ended: list[Version] = []
    slow = kind(ended.append)
    one, other = version(), version("letters")
    slow.add([one, other])
    assert slow.found.wait(20)
    taken = slow.take_back(is_(one))
    slow.go_on.set()
    wait_for(lambda: other in ended and not slow.waiting(), "the other one ends")
    slow.close()
    return taken is one, [each for each in ended if each is one]


def test_taken_back_after_it_was_found_due() -> None:
    """Whoever takes a version back in the last moment gets one that is not stopped."""
    assert (True, []) == taken_in_the_window(SlowRetirement)


def test_careless_end_is_found_out() -> None:
    """Without the second look under the lock, a version that serves is stopped."""
    taken, ended = taken_in_the_window(Careless)

    assert taken
    assert 1 == len(ended)


def test_ending_version_is_not_taken_back() -> None:
    """Once its stop() is called, nobody gets it back."""
    inside, go_on = threading.Event(), threading.Event()

    def end(_: Version) -> None:
        inside.set()
        assert go_on.wait(20)

    ending = Retirement(end, keep_warm=0.0, timeout=LONG)
    one = version()
    ending.add([one])
    assert inside.wait(20)

    found = ending.take_back(is_(one))
    go_on.set()
    ending.close()

    assert None is found
    assert () == ending.waiting()


def test_points_of_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests can kill the process before stop() is called, and after it is forgotten."""
    seen: list[str] = []
    monkeypatch.setattr(faults, "point", seen.append)
    closing = Retirement(lambda _: seen.append("end"), keep_warm=LONG, timeout=LONG)
    closing.add([version()])

    closing.close()

    assert ["drained", "end", "retired"] == seen
