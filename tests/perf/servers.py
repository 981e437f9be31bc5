"""One deployment under load, beside other servers, in one run.

800 requests a second come over four keep-alive and four one-shot connections, from
a process of their own; one more client asks for an answer that takes longer, so
that some request is always in flight.  Every answer tells the version at the start
of its request, after a pause, and in a module that it imports late.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from perf.contenders import CONTENDERS, Contender
from perf.crowd import Answers, crowd, plan
from perf.table import Table

RUNS = 3
_PERIOD = 0.01  # seconds between the requests of one of eight clients: 800 a second
_BEFORE, _AFTER = 1.5, 4.0  # seconds
_MANY = 20  # deployments in a row, one second apart
_PATH = "/shop"


@dataclass(frozen=True)
class Deployment:
    """What the clients saw of one deployment; seconds."""

    first: float | None
    gap: float
    usual_gap: float
    failed: int
    torn: int
    wrong: tuple[str, ...]


def measure(*, quick: bool = False) -> list[Table]:
    """Deploy a light and a heavy application on every server."""
    runs = 1 if quick else RUNS
    rows: list[tuple[str | float | int | None, ...]] = []
    notes: list[str] = []
    for kind in CONTENDERS:
        lacking = kind.missing()
        if lacking:
            rows.append((kind.name, lacking, *[None] * 7))
            continue
        light = [_deployed(kind, heavy=False) for _ in range(runs)]
        heavy = [_deployed(kind, heavy=True) for _ in range(runs)]
        rows.append(_row(kind.name, light, heavy))
        wrong = [text for one in (*light, *heavy) for text in one.wrong]
        notes += [f"{kind.name}: {text}" for text in dict.fromkeys(wrong)][:2]
    columns = (
        "",
        "first new answer, ms",
        "heavy",
        "longest gap, ms",
        "heavy",
        "usual gap",
        "failed",
        "heavy",
        "torn",
    )
    title = f"servers: one deployment under 800 requests/s, medians of {runs} runs"
    return [Table(title, columns, tuple(rows), tuple(notes))]


def _row(
    name: str, light: list[Deployment], heavy: list[Deployment]
) -> tuple[str | float | int | None, ...]:
    return (
        name,
        _median([one.first for one in light]),
        _median([one.first for one in heavy]),
        _median([one.gap for one in light]),
        _median([one.gap for one in heavy]),
        _median([one.usual_gap for one in (*light, *heavy)]),
        statistics.median(one.failed for one in light),
        statistics.median(one.failed for one in heavy),
        max(one.torn for one in (*light, *heavy)),
    )


def _median(found: list[float | None]) -> float | None:
    seconds = [one for one in found if one is not None]
    return statistics.median(seconds) * 1000 if seconds else None


def _deployed(kind: type[Contender], *, heavy: bool) -> Deployment:
    with tempfile.TemporaryDirectory(prefix="pointsman-") as name:
        server = kind(Path(name), heavy=heavy)
        server.write(1)
        server.start()
        try:
            return _watched(server)
        finally:
            server.stop()


def _watched(server: Contender) -> Deployment:
    quick = {"kind": "quick", "path": _PATH}
    slow = {"kind": "slow", "path": f"{_PATH}/slow"}
    plans = [
        *(plan([quick], keep_alive=kept, period=_PERIOD) for kept in [True, False] * 4),
        plan([slow], keep_alive=False, period=_PERIOD),
    ]
    with crowd(server.port, plans) as clients:
        time.sleep(_BEFORE)
        server.write(2)
        begun = time.monotonic()
        server.deploy()
        time.sleep(_AFTER)
        return _judged(clients.stop(), begun)


def _judged(answers: Answers, begun: float) -> Deployment:
    first = answers.first("2")
    quick = answers.quick()
    before = quick.between(begun - _BEFORE + 0.5, begun)
    after = quick.between(begun - 0.1, float("inf"))
    return Deployment(
        None if first is None else first - begun,
        max(after.gaps(), default=float("nan")),
        max(before.gaps(), default=float("nan")),
        len(answers.failed),
        len(answers.torn),
        tuple(dict.fromkeys(answers.failed + answers.torn)),
    )
