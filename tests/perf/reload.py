"""From the call of reload to the first answer by the new version, without load."""

from __future__ import annotations

import statistics
import tempfile
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from perf.host import hosting
from perf.sources import module, write
from perf.table import Table, ratio
from pointsman.wsgi import app_factory
from site_folder import get

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from perf.table import Cell

_TARGETS = {False: 10, True: 50}  # milliseconds, by whether it rehearses


def measure(*, quick: bool = False) -> list[Table]:
    """Measure light and heavy, with and without rehearsal, in process and by HTTP."""
    times = 15 if quick else 100
    rows = [*_rows(times, heavy=False), *_rows(times, heavy=True)]
    return [
        Table(
            f"reload: one changed module of 100 lines, {times} times, in milliseconds",
            ("", "median", "best", "90 %", "to compile+exec", "median wanted"),
            tuple(rows),
            ("from the call to the first answer by the new version, without load",),
        )
    ]


def _rows(times: int, *, heavy: bool) -> Iterator[tuple[Cell, ...]]:
    name = "heavy" if heavy else "light"
    bare = _milliseconds(partial(_compiled, heavy=heavy), times)
    yield (f"{name}: compile and exec", *_figures(bare), "", "")
    for rehearse in (False, True):
        target, word = _TARGETS[rehearse], "yes" if rehearse else "no"
        for how, measured in (("node.reload()", _inside), ("HTTP POST", _by_http)):
            took = measured(times, heavy=heavy, rehearse=rehearse)
            median = statistics.median(took)
            met = "met" if median < target else "MISSED"
            yield (
                f"{name}: {how}, rehearse = {word}",
                *_figures(took),
                ratio(median, statistics.median(bare)),
                f"< {target} {met}",
            )


def _figures(took: list[float]) -> tuple[float, float, float]:
    tenths = statistics.quantiles(took, n=10)
    return statistics.median(took), min(took), tenths[-1]


def _milliseconds(once: Callable[[int], float], times: int) -> list[float]:
    for number in range(3):  # warm
        once(number + 1)
    return [once(number + 4) * 1000 for number in range(times)]


def _compiled(version: int, *, heavy: bool) -> float:
    source = module(version, heavy=heavy)
    begun = perf_counter()
    exec(compile(source, "prices.py", "exec"), {"__name__": "json"})
    return perf_counter() - begun


def _inside(times: int, *, heavy: bool, rehearse: bool) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="pointsman-") as name:
        folder = Path(name)
        _write(folder, 0, heavy=heavy)
        host = app_factory(
            {"here": name},
            service_sources=str(folder / "service-sources.txt"),
            rehearse="yes" if rehearse else "no",
        )

        def once(version: int) -> float:
            _write(folder, version, heavy=heavy)
            begun = perf_counter()
            host.node.reload()
            answer = get(host, "/prices").text
            took = perf_counter() - begun
            if str(version) != answer:
                raise AssertionError(answer)
            return took

        try:
            return _milliseconds(once, times)
        finally:
            host.node.close()


def _by_http(times: int, *, heavy: bool, rehearse: bool) -> list[float]:
    with tempfile.TemporaryDirectory(prefix="pointsman-") as name:
        folder = Path(name)
        _write(folder, 0, heavy=heavy)
        sources = folder / "service-sources.txt"
        with hosting(sources, rehearse=rehearse) as host:

            def once(version: int) -> float:
                _write(folder, version, heavy=heavy)
                begun = perf_counter()
                host.reload()
                answer = host.get("/prices")
                took = perf_counter() - begun
                if str(version) != answer:
                    raise AssertionError(answer)
                return took

            return _milliseconds(once, times)


def _write(folder: Path, version: int, *, heavy: bool) -> None:
    services = folder / "services"
    services.mkdir(exist_ok=True)
    write(services / "prices.py", module(version, heavy=heavy))
    if not version:
        write(folder / "service-sources.txt", "./services\n")
