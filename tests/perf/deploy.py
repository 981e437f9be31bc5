"""From an upload, or a copied file, to the first moment in which it serves.

Without load.  A deployment is set beside a reload of the same source in the same
process, in turn, so that both see the machine as it is at that moment.
"""

from __future__ import annotations

import shutil
import statistics
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from perf import processes
from perf.crowd import quantile
from perf.host import HostProcess, cluster, hosting
from perf.sources import module, write
from perf.table import Table, met, ratio
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from perf.table import Cell

#: Milliseconds.
OVER_RELOAD, FOUR_NODES, PICKED_UP, SPREAD = 25, 150, 150, 100
_WARM = 3
_LOOK = 0.001  # seconds between two requests of the client that waits for a version
_COLUMNS = (
    "",
    "median",
    "95 %",
    "processor",
    "beside it",
    "median",
    "95 %",
    "processor",
    "ratio",
    "target",
)


def measure(*, quick: bool = False) -> list[Table]:
    """Measure one process, four processes, and the pick-up directory."""
    times = 15 if quick else 100
    fewer = 10 if quick else 50
    one = {
        (heavy, rehearse): _one(times, heavy=heavy, rehearse=rehearse)
        for heavy in (False, True)
        for rehearse in (False, True)
    }
    four = {
        (gunicorn, rehearse): _four(fewer, gunicorn=gunicorn, rehearse=rehearse)
        for gunicorn in (False, True)
        for rehearse in (False, True)
    }
    rows = [_beside_reload(_told(*key), took) for key, took in one.items()]
    for (gunicorn, rehearse), took in four.items():
        name = _told_four(gunicorn=gunicorn, rehearse=rehearse)
        rows += [
            _row(f"PUT, {name}", took.put, FOUR_NODES, took.put_processor),
            _row(f"nodes apart, {name}", took.spread, SPREAD),
        ]
    for rehearse in (False, True):
        copied = _copied(fewer, rehearse=rehearse)
        rows.append(_row(f"copy in, rehearse = {_word(rehearse)}", copied, PICKED_UP))
    return [
        Table(
            f"deploy: a module of 100 lines, {times} times, in milliseconds; four "
            f"processes and the pick-up directory {fewer} times",
            _COLUMNS,
            tuple(rows),
            (
                "PUT until its answer, which comes when every node serves it; POST",
                "reload until its answer, in the same process in turn; “nodes apart”",
                "is from the first node's switch to the last's; “copy in” is from the",
                "beginning of the copy to the first answer by the new version;",
                "processor: time of the processors, in all processes together",
            ),
        ),
        _parts(one, four),
    ]


@dataclass(slots=True)
class Took:
    """Milliseconds of each deployment, and of each reload beside it."""

    put: list[float] = field(default_factory=list)
    reload: list[float] = field(default_factory=list)
    spread: list[float] = field(default_factory=list)
    parts: list[tuple[float, ...]] = field(default_factory=list)
    put_processor: list[float] = field(default_factory=list)
    reload_processor: list[float] = field(default_factory=list)


# ONE PROCESS


def _one(times: int, *, heavy: bool, rehearse: bool) -> Took:
    took = Took()
    with TemporaryDirectory(prefix="pointsman-") as name:
        folder = Path(name)
        _write(folder, 0, heavy=heavy)
        sources = folder / "service-sources.txt"
        with hosting(sources, rehearse=rehearse) as host:
            for version in range(1, times + _WARM + 1):
                _write(folder, version, heavy=heavy)
                with _timed([host], took.reload, took.reload_processor):
                    host.reload()
                _must_answer(host, "/prices", version)
                _put([host], version, took, heavy=heavy)
    return _without_warm_up(took)


def _write(folder: Path, version: int, *, heavy: bool) -> None:
    services = folder / "services"
    services.mkdir(exist_ok=True)
    write(services / "prices.py", module(version, heavy=heavy))
    if not version:
        write(folder / "service-sources.txt", "./services\n")


@contextmanager
def _timed(
    hosts: Sequence[HostProcess], took: list[float], processor: list[float]
) -> Iterator[None]:
    """Note how long the block takes, and how much of the processors in all hosts."""
    pids = [pid for host in hosts for pid in processes.family(host.process.pid)]
    spent, begun = processes.spent(pids), time.perf_counter()
    yield
    took.append(_since(begun))
    processor.append(processes.spent(pids) - spent)


def _put(
    hosts: Sequence[HostProcess], version: int, took: Took, *, heavy: bool
) -> None:
    """Deploy to the first of several hosts."""
    host, source = hosts[0], module(version, heavy=heavy).encode()
    with _timed(hosts, took.put, took.put_processor):
        sent = time.time()
        document = host.put("rates", source)
        answered = time.time()
    record = host.call("GET", f"generations/{document['generation']}")
    took.parts.append(_lasted(record, sent, answered))
    took.spread.append(record["timings"]["spread_ms"] or 0.0)
    _must_answer(host, "/rates", version)


def _lasted(record: dict[str, Any], sent: float, answered: float) -> tuple[float, ...]:
    """Cut a deployment into parts by the times in its record."""
    switched = [_moment(v["switched_at"]) for v in record["votes"] if v["switched_at"]]
    moments = [
        sent,
        _moment(record["proposed_at"]),
        _moment(record["staged_at"]),
        _moment(record["decided_at"]),
        max(switched),
        answered,
    ]
    loading = max(vote["duration_ms"] for vote in record["votes"])
    parts = [(b - a) * 1e3 for a, b in pairwise(moments)]
    return (*parts[:2], loading, parts[2] - loading, *parts[3:])


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _must_answer(host: HostProcess, path: str, version: int) -> None:
    answer = host.get(path)
    if str(version) != answer:
        message = f"{path} answers {answer[:200]!r}, not {version}"
        raise AssertionError(message)


def _without_warm_up(took: Took) -> Took:
    return Took(*(values[_WARM:] for values in _lists(took)))


def _lists(took: Took) -> tuple[list[Any], ...]:
    processor = took.put_processor, took.reload_processor
    return took.put, took.reload, took.spread, took.parts, *processor


def _since(begun: float) -> float:
    return (time.perf_counter() - begun) * 1e3


# FOUR PROCESSES


def _four(times: int, *, gunicorn: bool, rehearse: bool) -> Took:
    took = Took()
    with cluster(4, rehearse=rehearse, gunicorn=gunicorn) as hosts:
        for version in range(1, times + _WARM + 1):
            _put(hosts, version, took, heavy=False)
            for host in hosts:
                _must_answer(host, "/rates", version)
    return _without_warm_up(took)


# THE PICK-UP DIRECTORY


def _copied(times: int, *, rehearse: bool) -> list[float]:
    with _pickup(rehearse=rehearse) as (host, folder):
        pickup, new = folder / "pickup", folder / "rates.py"
        took = []
        for version in range(1, times + _WARM + 1):
            new.write_text(module(version))
            begun = time.perf_counter()
            shutil.copyfile(new, pickup / "rates.py")
            _wait_for_answer(host, version)
            took.append(_since(begun))
            wait_for(lambda: not _is_there(pickup), "the file is taken away")
            time.sleep(0.05)  # an own event of each copy, as of people
    return took[_WARM:]


def _is_there(pickup: Path) -> bool:
    return (pickup / "rates.py").exists()


@contextmanager
def _pickup(*, rehearse: bool) -> Iterator[tuple[HostProcess, Path]]:
    with TemporaryDirectory(prefix="pointsman-") as name:
        folder = Path(name)
        (folder / "pickup").mkdir()
        settings = f"hot_deploy.pickup_dir = {folder / 'pickup'}"
        with hosting(rehearse=rehearse, settings=settings) as host:
            wait_for(host.is_ready, "the host is ready")
            yield host, folder


def _wait_for_answer(host: HostProcess, version: int) -> None:
    wanted, end = str(version), time.monotonic() + 30
    while host.get("/rates") != wanted:
        if time.monotonic() > end:
            message = f"version {version} was not picked up: {''.join(host.log[-40:])}"
            raise AssertionError(message)
        time.sleep(_LOOK)


# THE TABLES


def _told(heavy: bool, rehearse: bool) -> str:  # noqa: FBT001 - both are of the key
    return f"{'heavy' if heavy else 'light'}, rehearse = {_word(rehearse)}"


def _told_four(*, gunicorn: bool, rehearse: bool) -> str:
    return f"4 {'gunicorn' if gunicorn else 'paster'}, rehearse = {_word(rehearse)}"


def _word(given: object) -> str:
    return "yes" if given else "no"


def _beside_reload(name: str, took: Took) -> tuple[Cell, ...]:
    put, reload = statistics.median(took.put), statistics.median(took.reload)
    over = put - reload
    return (
        f"PUT, {name}",
        put,
        quantile(took.put, 0.95),
        statistics.mean(took.put_processor),
        "reload",
        reload,
        quantile(took.reload, 0.95),
        statistics.mean(took.reload_processor),
        ratio(put, reload),
        f"{over:+.1f} over, {met(over, OVER_RELOAD)}",
    )


def _row(
    name: str, took: Sequence[float], target: float, processor: Sequence[float] = ()
) -> tuple[Cell, ...]:
    median = statistics.median(took)
    last = quantile(took, 0.95)
    spent = statistics.mean(processor) if processor else None
    return (name, median, last, spent, "", *[None] * 4, met(median, target))


def _parts(
    one: dict[tuple[bool, bool], Took], four: dict[tuple[bool, bool], Took]
) -> Table:
    rows: list[tuple[Cell, ...]] = [
        (_told(*key), *_medians(took)) for key, took in one.items()
    ]
    rows += [
        (_told_four(gunicorn=gunicorn, rehearse=rehearse), *_medians(took))
        for (gunicorn, rehearse), took in four.items()
    ]
    return Table(
        "deploy: where the time of a PUT goes, medians in milliseconds",
        (
            "",
            "received",
            "queued",
            "loading",
            "voting",
            "switching",
            "answering",
        ),
        tuple(rows),
        (
            "received: until the proposal is in the ledger; loading: of the slowest",
            "node; voting: the rest until it is decided; switching: until the last",
            "node says that it serves; answering: until the client has the answer",
        ),
    )


def _medians(took: Took) -> list[float]:
    return [statistics.median(part) for part in zip(*took.parts, strict=True)]
