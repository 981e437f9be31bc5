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
_STARTS = 2
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
                "same one into a host with no other package, in turn",
            ),
        )
    ]


@dataclass(frozen=True)
class Starts:
    """Seconds; the best of some starts in turn."""

    libraries: float  # until a plain process has the host's libraries
    plain: float  # until it has the modules too
    again: float  # the same with bytecode files
    host: dict[bool, float]  # by whether it rehearses


def _starts(folder: Path, modules: dict[str, bytes]) -> Starts:
    for name in ("full", "empty", "plain"):
        (folder / name).mkdir()
    for name, source in modules.items():
        (folder / "plain" / f"{name}.py").write_bytes(source)
    names = _fill(folder / "full", modules)
    told = {"host": names, "folder": str(folder / "plain"), "modules": [*modules]}
    write(folder / "told.json", json.dumps(told))
    first, again = [], list[tuple[float, float]]()
    hosts: dict[bool, list[float]] = {False: [], True: []}
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
    for rehearse, took in starts.host.items():
        word = "yes" if rehearse else "no"
        wanted = met(took / starts.plain, START)
        for told, value, beside, other, target in (
            (f"{name}: start, rehearse = {word}", took, "import", starts.plain, wanted),
            ("", None, "import again", starts.again, ""),
            ("", None, "libraries alone", starts.libraries, ""),
        ):
            yield (told, value, None, beside, other, None, ratio(took, other), target)


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


def _start(folder: Path) -> float:
    """Return how long a host takes until it is ready, in seconds."""
    begun = time.perf_counter()
    with serving(folder) as host:
        wait_for(host.is_ready, "the host is ready", 120)
        return time.perf_counter() - begun


def _imported(folder: Path, *, keep: bool = False) -> tuple[float, float]:
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
        moments = [time.perf_counter() - begun for _ in process.stdout]
    if process.returncode or len(moments) != 2:
        message = f"the plain import ended with {process.returncode}"
        raise AssertionError(message)
    return moments[0], moments[1]


# DEPLOYMENTS


def _deployed(folder: Path, times: int, *, rehearse: bool) -> tuple[Cell, ...]:
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
        f"PUT of one more, rehearse = {'yes' if rehearse else 'no'}",
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
