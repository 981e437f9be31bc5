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
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

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
_STARTS = 3
_AT_ONCE = 250  # packages of one upload
_WARM = 3
_COLUMNS = ("", "value", "95 %", "beside it", "value", "95 %", "ratio", "target")

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
import importlib, json, sys
told = json.load(open(sys.argv[1]))
for name in told["host"]:
    try:
        importlib.import_module(name)
    except Exception:
        pass
sys.path.append(told["folder"])
print("libraries", flush=True)
for name in told["modules"]:
    importlib.import_module(name)
print("modules", flush=True)
"""


def measure(*, quick: bool = False) -> list[Table]:
    """Measure starts and deployments, with modules of 10 and of 100 lines."""
    number = QUICK_PACKAGES if quick else PACKAGES
    times = 15 if quick else 60
    rows: list[tuple[Cell, ...]] = []
    for lines in (100, 10):
        with TemporaryDirectory(prefix="pointsman-") as name:
            rows += _rows(Path(name), number, lines, times)
    return [
        Table(
            f"thousand: {number:,} packages with a service each, from the ledger",
            _COLUMNS,
            tuple(rows),
            (
                f"starts in seconds, the best of {_STARTS}: from the start of the",
                "process until it says that it is ready; beside it from the start of a",
                "process until it has imported what the host has, and the modules.",
                "Python's second import finds its bytecode files",
                f"a deployment in milliseconds, medians of {times}, each beside the",
                "same one into a host with no other package, in turn",
            ),
        )
    ]


def _rows(
    folder: Path, number: int, lines: int, times: int
) -> Iterator[tuple[Cell, ...]]:
    for name in ("full", "empty"):
        (folder / name).mkdir()
    modules = _modules(number, lines)
    names = _fill(folder / "full", modules)
    plain = folder / "plain"
    plain.mkdir()
    for name, source in modules.items():
        (plain / f"{name}.py").write_bytes(source)
    libraries, first, second = _plain(folder, [*modules], names)
    yield (f"{lines} lines: libraries of the host", libraries, *[None] * 5, "")
    for rehearse in (False, True):
        configure(folder / "full", rehearse=rehearse)
        starts = [_started(folder / "full") for _ in range(_STARTS)]
        took, word = min(starts), "yes" if rehearse else "no"
        target = met(took / first, START)
        name = f"{lines} lines: start, rehearse = {word}"
        beside = ("import", first, None, ratio(took, first))
        yield (name, took, None, *beside, f"{target}")
        again = ("import again", second, None, ratio(took, second))
        yield ("", None, None, *again, "")
    for rehearse in (False, True):
        yield _deployed(folder, times, lines, rehearse=rehearse)


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


def _started(folder: Path) -> float:
    """Return how long a host takes until it is ready, in seconds."""
    begun = time.perf_counter()
    with serving(folder) as host:
        wait_for(host.is_ready, "the host is ready", 120)
        return time.perf_counter() - begun


def _plain(
    folder: Path, modules: list[str], names: list[str]
) -> tuple[float, float, float]:
    """Return the seconds until libraries, until modules; and of a second import."""
    told = {"host": names, "folder": str(folder / "plain"), "modules": modules}
    write(folder / "told.json", json.dumps(told))
    without = {**environment(), "PYTHONDONTWRITEBYTECODE": "1"}
    keeping = {k: v for k, v in without.items() if k != "PYTHONDONTWRITEBYTECODE"}
    first = [_imported(folder, without) for _ in range(_STARTS)]
    _imported(folder, keeping)
    again = [_imported(folder, keeping) for _ in range(_STARTS)]
    return (
        min(libraries for libraries, _ in first),
        min(modules for _, modules in first),
        min(modules for _, modules in again),
    )


def _imported(folder: Path, given: dict[str, str]) -> tuple[float, float]:
    command = [sys.executable, "-c", _PLAIN, str(folder / "told.json")]
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=given)
    with process:
        if process.stdout is None:  # pragma: no cover - for the type
            raise AssertionError
        moments = [time.perf_counter() - begun for _ in process.stdout]
    if process.returncode or len(moments) != 2:
        message = f"the plain import ended with {process.returncode}"
        raise AssertionError(message)
    return moments[0], moments[1]


# DEPLOYMENTS


def _deployed(
    folder: Path, times: int, lines: int, *, rehearse: bool
) -> tuple[Cell, ...]:
    took: dict[str, list[float]] = {"full": [], "empty": []}
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
    medians = statistics.median(full), statistics.median(empty)
    return (
        f"{lines} lines: PUT of one more, rehearse = {'yes' if rehearse else 'no'}",
        medians[0],
        quantile(full, 0.95),
        "empty host",
        medians[1],
        quantile(empty, 0.95),
        ratio(*medians),
        met(medians[0] / medians[1], DEPLOYMENT),
    )


def _put(host: HostProcess, version: int) -> float:
    source = module(version).encode()
    begun = time.perf_counter()
    host.put("rates", source)
    took = (time.perf_counter() - begun) * 1e3
    if str(version) != host.get("/rates"):
        raise AssertionError(host.get("/rates")[:200])
    return took
