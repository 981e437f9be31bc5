"""What a host takes that nobody asks for anything.

Hosts with different triggers run at the same time, each with a pick-up directory
and an archive directory that holds some modules; nothing is copied, nobody asks.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from perf import processes
from perf.host import HostProcess, hosting
from perf.sources import module
from perf.table import Table, met, ratio
from perf.trace import touched
from waiting import wait_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perf.table import Cell

SECONDS, QUICK_SECONDS = 30.0, 6.0
SHARE = 0.5  # per cent of one core
FILES = 20  # in the archive directory
RATE = 2.0  # seconds between two looks, where it is polled
_SETTLE = 6.0  # seconds: more than one sign of life


def measure(*, quick: bool = False) -> list[Table]:
    """Measure the processor first, and then, which costs much, the calls."""
    seconds = QUICK_SECONDS if quick else SECONDS
    with ExitStack() as stack:
        idle = {
            name: stack.enter_context(_idle(trigger))
            for name, trigger in (
                ("no directories", ""),
                ("notified", "notified"),
                (f"polled every {RATE:g} s", "polled"),
            )
        }
        time.sleep(_SETTLE)
        table = _processor(idle, seconds)
        return [table, _calls(idle, seconds)]


@dataclass(frozen=True)
class Idle:
    """A host that nobody asks, and the folders that it watches."""

    host: HostProcess
    folders: tuple[Path, ...]

    def processor(self) -> float:
        """Return the seconds of processor time of it and its helper."""
        return sum(map(processes.processor, processes.family(self.host.process.pid)))


@contextmanager
def _idle(trigger: str) -> Iterator[Idle]:
    with TemporaryDirectory(prefix="pointsman-") as name:
        pickup, archives = Path(name) / "pickup", Path(name) / "archives"
        pickup.mkdir()
        archives.mkdir()
        for number in range(FILES):
            (archives / f"rates_{number}.py").write_text(module(number))
        lines = [
            f"hot_deploy.pickup_dir = {pickup}",
            f"hot_deploy.update_trigger = {trigger}",
            f"hot_deploy.polling_rate = {RATE:g}s",
            f"archives.location = {archives}",
            f"archives.update_trigger = {trigger}",
            f"archives.polling_rate = {RATE:g}s",
        ]
        settings = "\n".join(lines if trigger else [])
        with hosting(rehearse=True, settings=settings) as host:
            if trigger:
                last = f"/rates_{FILES - 1}"
                wait_for(lambda: host.get(last) == str(FILES - 1), last, 60)
            yield Idle(host, (pickup, archives))


# THE PROCESSOR


def _processor(idle: dict[str, Idle], seconds: float) -> Table:
    begun, before = time.monotonic(), _all(idle)
    time.sleep(seconds)
    after, took = _all(idle), time.monotonic() - begun
    base = None
    rows: list[tuple[Cell, ...]] = []
    for name, (cpu, ticks, io) in after.items():
        used = cpu - before[name][0]
        share = used / took * 100
        base = base or used
        written = {key: io[key] - before[name][2][key] for key in io}
        rows.append(
            (
                name,
                used * 1e3,
                share,
                ratio(used, base),
                ticks - before[name][1],
                written["syscr"] + written["syscw"],
                written["write_bytes"] / 1024,
                met(share, SHARE),
            )
        )
    return Table(
        f"idle: {seconds:g} s of a host and its helper that nobody asks, with "
        f"{FILES} modules in the archive directory",
        (
            "",
            "processor, ms",
            "% of a core",
            "to the first",
            "ticks of stat",
            "reads + writes",
            "written, KiB",
            "% wanted",
        ),
        tuple(rows),
        (
            "processor: /proc/PID/task/*/schedstat of all its processes; ticks of stat",
            "are hundredths of a second; reads, writes: /proc/PID/io of the host (the",
            "ledger is looked at, and a sign of life written, without directories too)",
        ),
    )


def _all(idle: dict[str, Idle]) -> dict[str, tuple[float, int, dict[str, int]]]:
    found = {}
    for name, one in idle.items():
        pids = processes.family(one.host.process.pid)
        ticks = sum(map(processes.clock_ticks, pids))
        found[name] = (one.processor(), ticks, processes.written(pids[0]))
    return found


# THE CALLS


def _calls(idle: dict[str, Idle], seconds: float) -> Table:
    rows: list[tuple[Cell, ...]] = []
    notes = []
    for name, one in idle.items():
        pids = processes.family(one.host.process.pid)
        found = touched(pids, one.folders, seconds)
        if found is None:
            notes.append(f"{name}: strace is not there, or may not look")
            continue
        looks = found.bursts(RATE / 4)
        # Two directories are looked at, each at its own moment.
        wanted = 2 * (seconds / RATE + 1) if name.startswith("polled") else 0
        often = len(looks)
        rows.append(
            (
                name,
                len(found.moments),
                often,
                len(found.moments) / often if often else None,
                f"<= {wanted:g} {'met' if often <= wanted else 'MISSED'}",
            )
        )
        if found.calls:
            told = ", ".join(f"{n} {call}" for call, n in found.calls.most_common())
            notes.append(f"{name}: {told}")
    return Table(
        f"idle: calls of the system that touch the directories, in {seconds:g} s",
        ("", "calls", "looks", "calls of a look", "looks wanted"),
        tuple(rows),
        (
            "strace -f of all processes; a look ends when nothing is touched for a",
            "quarter of the polling rate; two directories are looked at",
            *notes,
        ),
    )
