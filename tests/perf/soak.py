"""Thousands of deployments under load: what is lost, and what piles up.

Two versions of an archive are deployed in turn, each loaded anew, because
``keep_warm`` is 0.  Four keep-alive and four one-shot clients in a process of their
own ask for plain, streamed, uploaded and file bodies, and for answers that take
longer than a deployment.
"""

from __future__ import annotations

import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from perf import processes, sources
from perf.crowd import Answers, crowd, plan
from perf.host import HostProcess, hosting
from perf.table import Table, met, ratio
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perf.table import Cell

DEPLOYMENTS, QUICK_DEPLOYMENTS = 2000, 100
HISTORY = 20  # hot_deploy.backup_history
INTERVAL = 0.1  # seconds between the beginnings of two deployments, at least
MEMORY, LEDGER = 5.0, 1.05  # MiB, and times, over the second half
_PERIOD = 0.015  # seconds between the requests of one client
_STEADY, _SETTLE = 10.0, 2.0  # seconds
_SOME = 100  # deployments at the beginning and at the end, whose time is compared
_MIB, _KIB = 1024 * 1024, 1024
_SETTINGS = f"hot_deploy.backup_history = {HISTORY}\nkeep_warm = 0"
_COLUMNS = ("", "value", "beside it", "value", "ratio", "target")


@dataclass(frozen=True)
class Sizes:
    """What a host takes at one moment, in bytes."""

    host: int
    helpers: int
    ledger: int


@dataclass
class Run:
    """What one run has shown; durations in seconds."""

    answers: Answers = field(default_factory=lambda: Answers(()))
    steady: Answers = field(default_factory=lambda: Answers(()))
    deploying: Answers = field(default_factory=lambda: Answers(()))
    took: list[float] = field(default_factory=list)
    sizes: list[Sizes] = field(default_factory=list)  # at half, and at the end
    kept: int = 0
    state: dict[str, Any] = field(default_factory=dict)


def measure(*, quick: bool = False, number: int = 0) -> list[Table]:
    """Deploy ``number`` times, 2,000 by default, with rehearsal."""
    wanted = number or (QUICK_DEPLOYMENTS if quick else DEPLOYMENTS)
    return [_table(run(wanted))]


def run(number: int) -> Run:
    """Let the clients ask for a while, and then during all deployments."""
    found = Run()
    versions = [sources.archive(version) for version in (1, 2)]
    with hosting(rehearse=True, threads=16, settings=_SETTINGS) as host:
        wait_for(host.is_ready, "the host is ready")
        host.put("shop", versions[0], "shop.sar")
        with crowd(host.port, _plans()) as clients:
            with _span() as steady:
                time.sleep(_STEADY)
            with _span() as deploying:
                _deploy(host, versions, number, found)
            time.sleep(_SETTLE)
            found.answers = clients.stop()
        found.steady = found.answers.between(steady[0] + 0.5, steady[1]).quick()
        found.deploying = found.answers.between(*deploying).quick()
        time.sleep(_SETTLE)  # for what was retired last
        found.kept = len(host.call("GET", "generations?limit=500")["generations"])
        found.state = host.inspect()
    return found


@contextmanager
def _span() -> Iterator[list[float]]:
    span = [time.monotonic()]
    yield span
    span.append(time.monotonic())


def _plans() -> list[dict[str, Any]]:
    known = sources.requests()
    quick = [known[kind] for kind in ("plain", "stream", "upload", "file")]
    made = []
    for keep_alive in (True, False):
        made.append(plan([known["slow"]], keep_alive=keep_alive, period=_PERIOD))
        for first in range(3):
            turn = quick[first:] + quick[:first]
            made.append(plan(turn, keep_alive=keep_alive, period=_PERIOD))
    return made


def _deploy(host: HostProcess, versions: list[bytes], number: int, found: Run) -> None:
    due = time.monotonic()
    for turn in range(1, number + 1):
        begun = time.monotonic()
        host.put("shop", versions[turn % 2], "shop.sar")
        found.took.append(time.monotonic() - begun)
        if turn in (number // 2, number):
            found.sizes.append(_sizes(host))
        due = max(due + INTERVAL, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))


def _sizes(host: HostProcess) -> Sizes:
    first, *others = processes.family(host.process.pid)
    files = (host.folder / "var").glob("ledger.sqlite*")
    return Sizes(
        processes.resident(first),
        sum(processes.resident(pid) for pid in others),
        sum(file.stat().st_size for file in files),
    )


def _table(found: Run) -> Table:
    wrong = found.answers.failed + found.answers.torn
    notes = [
        "latencies and gaps are of the requests that are not slow on purpose; sizes",
        "are compared at half and at the end of all deployments; the ledger's is that",
        "of its file with the log of SQLite",
        *(f"first: {text}" for text in wrong[:3]),
        *(f"left: {who}" for who in found.state["who"]),
    ]
    return Table(
        f"soak: {len(found.took)} deployments of two versions in turn, at most one "
        f"every {INTERVAL * 1000:g} ms, under load; backup_history = {HISTORY}",
        _COLUMNS,
        (*_losses(found), *_latencies(found), *_growth(found)),
        tuple(notes),
    )


def _losses(found: Run) -> Iterator[tuple[Cell, ...]]:
    failed, torn = len(found.answers.failed), len(found.answers.torn)
    seen = len(found.answers.versions)
    number = len(found.answers.all)
    rate = number / (found.answers.all[-1].ended - found.answers.all[0].ended)
    yield ("requests", number, "a second", rate, "", "")
    yield ("lost or cut", failed, "", None, "", met(failed, 1))
    yield ("torn", torn, "", None, "", met(torn, 1))
    yield ("versions seen", seen, "", None, "", "")


def _latencies(found: Run) -> Iterator[tuple[Cell, ...]]:
    steady, during = found.steady, found.deploying
    for share in (0.5, 0.99):
        calm, late = steady.latency(share) * 1e3, during.latency(share) * 1e3
        name = f"answers, {share * 100:g} %, ms"
        yield (name, late, "without deploying", calm, ratio(late, calm), "")
    calm, late = (one.own_gaps()[0] * 1e3 for one in (steady, during))
    yield ("longest gap, ms", late, "without deploying", calm, ratio(late, calm), "")
    some = min(_SOME, len(found.took) // 2)
    first, last = found.took[:some], found.took[-some:]
    early, late = (statistics.median(one) * 1e3 for one in (first, last))
    name = f"PUT, last {some}, ms"
    yield (name, late, f"first {some}", early, ratio(late, early), "")


def _growth(found: Run) -> Iterator[tuple[Cell, ...]]:
    half, end = found.sizes
    for name, one, other in (
        ("memory of the host, MiB", end.host, half.host),
        ("memory of the helper, MiB", end.helpers, half.helpers),
    ):
        grown = (one - other) / _MIB
        target = f"{grown:+.2f}, {met(grown, MEMORY)}"
        yield (name, one / _MIB, "at half", other / _MIB, ratio(one, other), target)
    sizes = end.ledger / _KIB, half.ledger / _KIB
    grown = end.ledger / half.ledger
    yield ("ledger, KiB", sizes[0], "at half", sizes[1], *_bounded(grown))
    # What is too much goes with the next sign of life, not with each deployment.
    target = met(found.kept, HISTORY + 1 + 5 / INTERVAL)
    yield ("generations kept", found.kept, "backup_history", HISTORY, "", target)
    left, threads = found.state["left"], len(found.state["threads"])
    yield ("namespaces left", left, "", None, "", met(left, 1))
    yield ("threads", threads, "", None, "", "")


def _bounded(grown: float) -> tuple[Cell, Cell]:
    return f"{grown:.2f}x", met(grown, LEDGER)
