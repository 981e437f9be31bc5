"""Switches under load lose nothing, whatever the successor does.

What belongs to switches was broken on purpose, and the tests named beside it failed:

============================================= ==========================================
what was broken                               what failed
============================================= ==========================================
the incumbent drains before the successor     to what fails
is ready; or stands by before
the sockets are shut down, not looked away    lose nothing
from, at the commit
... or closed on stand-by                     a crash on probation
no take-back after a death                    a crash on probation
no take-back of one that lives                no longer ready
the successor accepts before it is proven     no client meets what is not ready
ready without a request, or with failures     what fails says why
no grace, or no ``Connection: close``, on     idle connections are given up
stand-by
hangs, stuck threads, failures, a stop        frozen; answers nobody; no longer ready;
not seen                                      somebody stops
connections without a request not counted     the count is exact
the pid file emptied first; or written after  the pid file never lies (the second in
the desk answers                              some runs)
the file not left at the commit               files are removed by the last one
its second place not locked                   nobody else can take the place
an orphan waits; no burial; a stop that       an orphan is in charge; who hangs at its
does not follow                               end; a stop follows a commit
============================================= ==========================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from functional.handover import site as kinds
from functional.handover.bulk import Bulk
from functional.serving.hammer import Client, Hammer, LostError, get
from pointsman.serving.handover import Result
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from functional.handover.site import Site


def one_more_of_each(hammer: Hammer, bulk: Bulk) -> Callable[[], bool]:
    """Return whether 200 requests and a body have been answered from now on."""
    answered, ended = hammer.answered.total(), bulk.ended
    return lambda: hammer.answered.total() > answered + 200 and bulk.ended > ended


def test_switches_lose_nothing(site: Site) -> None:
    """Six switches: keep-alive, one-shot, slow and queued requests, 30 MB each way."""
    port = site.start(site.release("v0"))
    hammer, bulk = site.under(Hammer(port).start()), site.under(Bulk(port))
    results = []
    for number in range(1, 7):
        results.append(site.switch(site.release(f"v{number}")))
        wait_for(one_more_of_each(hammer, bulk), "answers and bodies")
    bulk.stop()
    hammer.stop()

    assert [Result.COMMITTED] * 6 == [each.result for each in results]
    assert ([], [], 0) == (hammer.lost, bulk.lost, hammer.refused)
    assert {f"hello v{n}".encode() for n in range(7)} == hammer.bodies
    assert results[-1].pid == site.pid()


def test_switches_to_what_fails_lose_nothing(site: Site) -> None:
    """Each kind of failing release leaves everything as it was, under load."""
    impatient = "from pointsman.serving.handover import incumbent as i; i._UNUSED = 0.5"
    port = site.start(site.release("one", impatient + "\n"))
    before = site.pid()
    hammer = site.under(Hammer(port).start())
    results = {}
    for name, (code, behind) in kinds.FAILING.items():
        release = site.release(name, code + "\n", behind=behind)
        results[name] = site.switch(release, ready_timeout=0.7)
    hammer.stop()

    assert dict.fromkeys(kinds.FAILING, Result.NOT_READY) == {
        name: each.result for name, each in results.items()
    }
    assert ([], 0, {b"hello one"}) == (hammer.lost, hammer.refused, hammer.bodies)
    assert before == site.pid()


@pytest.mark.parametrize("ending", ["SIGKILL", "SIGSEGV"])
def test_a_crash_on_probation_loses_what_was_in_flight_on_it(
    site: Site, ending: str
) -> None:
    """The requests in flight are counted, all others are answered by the old one."""
    port = site.start(site.release("one"))
    release = site.release("two", behind=kinds.CRASHES)
    with site.switching(release, probation=60) as switching:
        in_flight = [Client(port) for _ in range(3)]
        for client in in_flight:
            client.send("/slow60")
        wait_for(lambda: site.in_flight(switching.pid) == 3, "requests on it")
        hammer = site.under(Hammer(port).start())
        wait_for(lambda: b"hello two" in hammer.bodies, "answers of the new one")
        killed_by_request = switching.kill(ending, port)
        outcome = switching.outcome()
        wait_for(lambda: b"hello one" in hammer.bodies, "answers of the old one")
        hammer.stop()
    for client in in_flight:
        with pytest.raises(LostError):
            client.receive()
        client.close()
    lost = len(hammer.lost) + len(in_flight) + killed_by_request

    assert (Result.TAKEN_BACK, ending) == (outcome.result, outcome.signal)
    assert len(in_flight) <= outcome.lost
    # The eight clients, perhaps one in the door, and of the four that connect each time
    # what they have closed already, and the server has not seen the end of.
    most = len(in_flight) + 8 + 1 + 4 + killed_by_request
    assert lost <= outcome.lost + outcome.idle <= most
    assert 0 == hammer.refused
    assert b"hello one" == get(port).body
