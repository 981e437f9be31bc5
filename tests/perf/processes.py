"""What the kernel tells of a process and of those that it has started: proc(5)."""

from __future__ import annotations

import os
import re
from pathlib import Path

_PROC = Path("/proc")


def resident(pid: int) -> int:
    """Return the resident memory in bytes."""
    found = re.search(r"VmRSS:\s+(\d+) kB", (_PROC / f"{pid}/status").read_text())
    return int(found[1]) * 1024 if found else 0


def processor(pid: int) -> float:
    """Return the seconds of processor time of its threads that are alive.

    From ``schedstat``, which counts nanoseconds; ``stat`` counts hundredths of a
    second, which an idle process may not fill in half a minute.
    """
    tasks = (_PROC / f"{pid}/task").iterdir()
    return sum(int((task / "schedstat").read_text().split()[0]) for task in tasks) / 1e9


def clock_ticks(pid: int) -> int:
    """Return what ``stat`` counts: user and system time, also of ended threads."""
    text = (_PROC / f"{pid}/stat").read_text()
    fields = text.rpartition(")")[2].split()
    return int(fields[11]) + int(fields[12])


def spent(pids: list[int]) -> float:
    """Return the milliseconds of processor time of processes and ended children.

    Exact to a clock tick: for sums of many calls, on a machine that does other
    things too.
    """
    ticks = 0
    for pid in pids:
        fields = (_PROC / f"{pid}/stat").read_text().rpartition(")")[2].split()
        ticks += sum(int(field) for field in fields[11:15])
    return ticks * 1000 / os.sysconf("SC_CLK_TCK")


def written(pid: int) -> dict[str, int]:
    """Return what a process has read and written so far, from ``io``."""
    lines = (_PROC / f"{pid}/io").read_text().splitlines()
    return {name: int(value) for name, value in (line.split(": ") for line in lines)}


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    parents: dict[int, list[int]] = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit():
            try:
                text = (folder / "stat").read_text()
            except OSError:  # it has ended meanwhile
                continue
            parent = int(text.rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(folder.name))
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += parents.get(one, [])
    return found
