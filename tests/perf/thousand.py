"""A thousand packages with a thousand services, all in the ledger.

How long a host takes to start with them, beside a process that imports the same
host libraries and then the same modules, as Python does it; and what one deployment
costs there, beside the same one into a host that has no other package.
"""

from __future__ import annotations

import itertools
import json
import statistics
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

from perf import processes
from perf.crowd import quantile
from perf.host import HostProcess, configure, serving
from perf.sources import environment, module, write
from perf.table import Table, met, ratio
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perf.table import Cell

PACKAGES, QUICK_PACKAGES = 1000, 100
START, DEPLOYMENT = 2.0, 1.5  # times
_STARTS = 2
_AT_ONCE = 250  # packages of one upload
_WARM = 3
_COLUMNS = (
    "",
    "value",
    "95 %",
    "processor",
    "beside it",
    "value",
    "95 %",
    "processor",
    "ratio",
    "target",
)

_versions = itertools.count(1)  # no version is deployed twice

_SMALL = '''\
"""Greets; version {version}."""

from pointsman import Service


class Greeting(Service):
    """Says hello."""

    def handle(self, request):
        return "{version}"
'''

_PLAIN = """\
import importlib, json, sys, time
told = json.load(open(sys.argv[1]))
for name in told["host"]:
    try:
        importlib.import_module(name)
    except Exception:
        pass
sys.path.append(told["folder"])
print(time.process_time(), flush=True)
for name in told["modules"]:
    importlib.import_module(name)
print(time.process_time(), flush=True)
"""


def measure(*, quick: bool = False) -> list[Table]:
    """Measure starts and deployments; starts with small modules too."""
    number = QUICK_PACKAGES if quick else PACKAGES
    times = 15 if quick else 60
    rows: list[tuple[Cell, ...]] = []
    for lines in (100, 10):
        with TemporaryDirectory(prefix="pointsman-") as name:
            folder = Path(name)
            starts = _starts(folder, _modules(number, lines))
            rows += _started(f"{lines} lines", starts)
            if lines == 100:
                rows += [_deployed(folder, times, rehearse=r) for r in (False, True)]
    return [
        Table(
            f"thousand: {number:,} packages with a service each, from the ledger",
            _COLUMNS,
            tuple(rows),
            (
                f"starts in seconds, best of {_STARTS}, in turn: from the beginning of",
                "a process until it says that it is ready; beside it, until a process",
                "has imported what the host has, and then the modules; “again” is with",
                "the bytecode files of an import before",
                f"a deployment in milliseconds, medians of {times}, each beside the",
                "same one into a host with no other package, in turn; processor: time",
                "of the processors, in all processes of the host, ended ones too",
            ),
        )
    ]


class Cost(NamedTuple):
    """How long something took, and how much of it on a processor; one unit."""

    took: float
    processor: float


@dataclass(frozen=True)
class Starts:
    """Seconds; the best of some starts in turn."""

    libraries: Cost  # until a plain process has the host's libraries
    plain: Cost  # until it has the modules too
    again: Cost  # the same with bytecode files
    host: dict[bool, Cost]  # by whether it rehearses


def _starts(folder: Path, modules: dict[str, bytes]) -> Starts:
    for name in ("full", "empty", "plain"):
        (folder / name).mkdir()
    for name, source in modules.items():
        (folder / "plain" / f"{name}.py").write_bytes(source)
    names = _fill(folder / "full", modules)
    told = {"host": names, "folder": str(folder / "plain"), "modules": [*modules]}
    write(folder / "told.json", json.dumps(told))
    first, again = [], list[tuple[Cost, Cost]]()
    hosts: dict[bool, list[Cost]] = {False: [], True: []}
    for _ in range(_STARTS):
        first.append(_imported(folder))
        for rehearse, took in hosts.items():
            configure(folder / "full", rehearse=rehearse)
            took.append(_start(folder / "full"))
    _imported(folder, keep=True)
    again += [_imported(folder, keep=True) for _ in range(_STARTS)]
    return Starts(
        min(libraries for libraries, _ in first),
        min(whole for _, whole in first),
        min(whole for _, whole in again),
        {rehearse: min(took) for rehearse, took in hosts.items()},
    )


def _started(name: str, starts: Starts) -> Iterator[tuple[Cell, ...]]:
    for rehearse, cost in starts.host.items():
        word = "yes" if rehearse else "no"
        row = (f"{name}: start, rehearse = {word}", cost.took, None, cost.processor)
        wanted = met(cost.took / starts.plain.took, START)
        yield (*row, *_beside("import", cost, starts.plain), wanted)
        rest = ("", None, None, None)
        yield (*rest, *_beside("import again", cost, starts.again), "")
        yield (*rest, *_beside("libraries alone", cost, starts.libraries), "")


def _beside(name: str, cost: Cost, other: Cost) -> tuple[Cell, ...]:
    shown = ratio(cost.took, other.took)
    return name, other.took, None, other.processor, shown


def _modules(number: int, lines: int) -> dict[str, bytes]:
    return {f"shop_{n:04d}": _module(n, lines) for n in range(number)}


def _module(version: int, lines: int) -> bytes:
    small = lines < len(_SMALL.splitlines()) + 1
    text = _SMALL.format(version=version) if small else module(version, lines=lines)
    return text.encode()


def _fill(folder: Path, modules: dict[str, bytes]) -> list[str]:
    """Deploy all of them; return what the host has imported, but for them."""
    configure(folder, rehearse=False)
    files = [(f"{name}.py", source) for name, source in modules.items()]
    with serving(folder) as host:
        wait_for(host.is_ready, "the host is ready", 60)
        for start in range(0, len(files), _AT_ONCE):
            host.post(dict(files[start : start + _AT_ONCE]))
        imported: list[str] = host.inspect()["imported"]
    return [name for name in imported if name not in modules]


# STARTS


def _start(folder: Path) -> Cost:
    """Return the seconds until a host is ready."""
    begun = time.perf_counter()
    with serving(folder) as host:
        wait_for(host.is_ready, "the host is ready", 120)
        took = time.perf_counter() - begun
        return Cost(took, processes.spent(_family(host)) / 1e3)


def _family(host: HostProcess) -> list[int]:
    return processes.family(host.process.pid)


def _imported(folder: Path, *, keep: bool = False) -> tuple[Cost, Cost]:
    """Return the seconds until a plain process has the libraries, and the modules.

    ``keep`` lets it write bytecode files, and find those of the time before.
    """
    given = environment()
    if keep:
        del given["PYTHONDONTWRITEBYTECODE"]
    command = [sys.executable, "-c", _PLAIN, str(folder / "told.json")]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=given)
    with process:
        if process.stdout is None:  # pragma: no cover - for the type
            raise AssertionError
        costs = [
            Cost(time.perf_counter() - begun, float(line)) for line in process.stdout
        ]
    if process.returncode or len(costs) != 2:
        message = f"the plain import ended with {process.returncode}"
        raise AssertionError(message)
    return costs[0], costs[1]


# DEPLOYMENTS


def _deployed(folder: Path, times: int, *, rehearse: bool) -> tuple[Cell, ...]:
    took: dict[str, list[Cost]] = {"full": [], "empty": []}
    with ExitStack() as stack:
        hosts = {}
        for name in took:
            configure(folder / name, rehearse=rehearse)
            hosts[name] = stack.enter_context(serving(folder / name))
            wait_for(hosts[name].is_ready, "the host is ready", 120)
        for _ in range(times + _WARM):
            version = next(_versions)
            for name, host in hosts.items():
                took[name].append(_put(host, version))
    full, empty = (took[name][_WARM:] for name in ("full", "empty"))
    one, other = _figures(full), _figures(empty)
    name = f"PUT of one more, rehearse = {'yes' if rehearse else 'no'}"
    more = ratio(one[0], other[0]), met(one[0] / other[0], DEPLOYMENT)
    return (name, *one, "empty host", *other, *more)


def _figures(costs: list[Cost]) -> tuple[float, float, float]:
    took = [cost.took for cost in costs]
    spent = statistics.mean(cost.processor for cost in costs)
    return statistics.median(took), quantile(took, 0.95), spent


def _put(host: HostProcess, version: int) -> Cost:
    """Return the milliseconds of one deployment."""
    source, pids = module(version).encode(), _family(host)
    spent, begun = processes.spent(pids), time.perf_counter()
    host.put("rates", source)
    took = (time.perf_counter() - begun) * 1e3
    cost = Cost(took, processes.spent(pids) - spent)
    if str(version) != host.get("/rates"):
        raise AssertionError(host.get("/rates")[:200])
    return cost
