"""A thousand reloads under load: what is lost, torn, late, or left behind.

Eight keep-alive and eight one-shot clients in a process of their own ask for plain,
streamed, uploaded and file bodies; one of each eight asks for answers that take
longer than the time between two reloads, and read their version at their start,
after a pause and through a late import.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from perf import sources
from perf.crowd import Answers, crowd, plan
from perf.host import HostProcess, hosting
from perf.table import Table, ratio

if TYPE_CHECKING:
    from perf.table import Cell

RELOADS, QUICK_RELOADS = 1000, 50
_NOTES = (
    "latencies and gaps are of the requests that are not slow on purpose; a gap is the",
    "time between two answers to anybody; “held up” is how long the clients were not",
    "run by their machine, which a busy one shows as gaps: the next line is without it",
)
INTERVAL = 0.1  # seconds between the beginnings of two reloads
_PERIOD = 0.04  # seconds between the requests of one client
_SETTLE = 2.0
_MIB = 1024 * 1024


@dataclass(frozen=True)
class Run:
    """What one run under load has shown; durations in seconds, sizes in bytes."""

    answers: Answers
    steady: Answers
    reloading: Answers
    reloads: tuple[float, ...]
    grown: int
    grown_steady: int
    left: dict[str, Any]
    more: dict[str, tuple[int, int]]


def measure(*, quick: bool = False) -> list[Table]:
    """Measure without and with rehearsal."""
    reloads = QUICK_RELOADS if quick else RELOADS
    return [
        _table(run(reloads, rehearse=rehearse), rehearse=rehearse)
        for rehearse in (False, True)
    ]


def plans() -> list[dict[str, Any]]:
    """Return the sixteen clients."""
    known = sources.requests()
    quick = [known[kind] for kind in ("plain", "stream", "upload", "file")]
    made = []
    for keep_alive in (True, False):
        made.append(plan([known["slow"]], keep_alive=keep_alive, period=_PERIOD))
        for number in range(7):
            turn = quick[number % 4 :] + quick[: number % 4]
            made.append(plan(turn, keep_alive=keep_alive, period=_PERIOD))
    return made


def run(reloads: int, *, rehearse: bool) -> Run:
    """Let clients ask without reloads, then with them, for the same time."""
    with tempfile.TemporaryDirectory(prefix="pointsman-") as name:
        folder = Path(name)
        sources.package(folder, 0)
        listed = folder / "service-sources.txt"
        with hosting(listed, rehearse=rehearse, threads=16) as host:
            return _asked(host, folder, reloads)


def _asked(host: HostProcess, folder: Path, reloads: int) -> Run:
    with crowd(host.port, plans()) as clients:
        time.sleep(_SETTLE)
        before = host.inspect()
        begun = time.monotonic()
        time.sleep(reloads * INTERVAL / 2)
        empty = host.resident()
        time.sleep(reloads * INTERVAL / 2)
        full = host.resident()
        middle = time.monotonic()
        took, sizes = _reloaded(host, folder, reloads)
        ended = time.monotonic()
        time.sleep(_SETTLE)
        answers = clients.stop()
    time.sleep(_SETTLE)  # for what was retired last
    after = host.inspect()
    return Run(
        answers,
        answers.between(begun + 0.5, middle).quick(),
        answers.between(middle, ended).quick(),
        tuple(took),
        sizes[-1] - sizes[0],
        full - empty,
        after,
        {key: (before[key], after[key]) for key in ("loggers", "modules")},
    )


def _reloaded(
    host: HostProcess, folder: Path, reloads: int
) -> tuple[list[float], list[int]]:
    """Reload; return how long each took, and the memory at half and at the end."""
    took, sizes = [], []
    due = time.monotonic()
    for number in range(reloads):
        sources.package(folder, _version(number))
        begun = time.monotonic()
        host.reload()
        took.append(time.monotonic() - begun)
        if number + 1 in (reloads // 2, reloads):
            sizes.append(host.resident())
        due = max(due + INTERVAL, time.monotonic())
        time.sleep(max(0.0, due - time.monotonic()))
    return took, sizes


def _version(number: int) -> int:
    """Alternate between two versions, and go on to two new ones after a while.

    So versions come back while they are still known, and no answer can be torn
    between two that bear one number.
    """
    block, within = divmod(number, 4)
    return 2 * block + 1 + within % 2


def _table(found: Run, *, rehearse: bool) -> Table:
    answers = found.answers
    steady, during = found.steady, found.reloading
    own = (steady.own_gaps(), during.own_gaps())
    held = [one.longest_hold_up() * 1e3 for one in (steady, during)]
    calm = found.grown_steady / _MIB
    threads = len(found.left["threads"])
    rows: list[tuple[Cell, ...]] = [
        ("requests", len(steady.all), len(during.all), "", ""),
        ("failed or cut", len(steady.failed), len(answers.failed), "0", ""),
        ("torn", len(steady.torn), len(answers.torn), "0", ""),
        ("versions seen", len(steady.versions), len(during.versions), "", ""),
        *(
            _times(f"p{share:g}", steady, during, share / 100)
            for share in (50, 99, 99.9)
        ),
        _gap("longest gap, ms", steady.gaps(), during.gaps(), 0),
        ("clients held up, ms", *held, "", ""),
        _gap("longest gap without, ms", *own, 0, "< 10 above"),
        _gap("tenth longest, ms", *own, 9),
        ("memory grown, last half, MiB", calm, found.grown / _MIB, "< 2", ""),
        ("namespaces left", None, found.left["left"], "0", ""),
        ("threads at the end", None, threads, "", ""),
        *((f"{key} after", *pair, "", "") for key, pair in found.more.items()),
        _duration("reload, median, ms", found.reloads, 0.5),
        _duration("reload, p99, ms", found.reloads, 0.99),
    ]
    notes = list(_NOTES)
    notes += [f"first: {text}" for text in (answers.failed + answers.torn)[:3]]
    notes += [f"left: {who}" for who in found.left["who"]]
    missed = _missed(found)
    notes.append("all targets met" if not missed else f"MISSED: {', '.join(missed)}")
    return Table(
        f"load: {len(found.reloads)} reloads, one every {INTERVAL * 1000:g} ms, "
        f"rehearse = {'yes' if rehearse else 'no'}",
        ("", "steady", "reloading", "wanted", "ratio"),
        tuple(rows),
        tuple(notes),
    )


def _times(
    name: str, steady: Answers, during: Answers, share: float
) -> tuple[Cell, ...]:
    usual, late = steady.latency(share), during.latency(share)
    wanted = "< 2x" if share == 0.99 else ""
    return (f"{name}, ms", usual * 1e3, late * 1e3, wanted, ratio(late, usual))


def _gap(
    name: str, steady: list[float], during: list[float], rank: int, wanted: str = ""
) -> tuple[Cell, ...]:
    calm, gap = steady[rank], during[rank]
    return (name, calm * 1e3, gap * 1e3, wanted, ratio(gap, calm))


def _duration(name: str, took: tuple[float, ...], share: float) -> tuple[Cell, ...]:
    ordered = sorted(took)
    return (name, None, ordered[int(share * (len(ordered) - 1))] * 1e3, "", "")


def _missed(found: Run) -> list[str]:
    usual, late = (one.latency(0.99) for one in (found.steady, found.reloading))
    calm, gap = (one.own_gaps()[0] for one in (found.steady, found.reloading))
    checks = {
        "failed or cut": bool(found.answers.failed),
        "torn": bool(found.answers.torn),
        "p99": late >= 2 * usual,
        "longest gap": gap - calm >= 0.010,
        "memory": found.grown >= 2 * _MIB,
        "namespaces left": bool(found.left["left"]),
    }
    return [name for name, missed in checks.items() if missed]
