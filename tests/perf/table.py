"""Figures as a table, and the machine that they come from."""

from __future__ import annotations

import os
import platform
import sys
from dataclasses import dataclass, field
from pathlib import Path

Cell = str | int | float | None


@dataclass(frozen=True)
class Table:
    """Rows of figures under one title; ``notes`` say how they were measured."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...] = field(default=())

    def text(self) -> str:
        """Return the table for a terminal, right-aligned but for the first column."""
        cells = [self.columns, *(tuple(map(_shown, row)) for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
        lines = [self.title, ""]
        for number, row in enumerate(cells):
            head = row[0].ljust(widths[0])
            rest = (c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True))
            lines.append("  ".join(["", head, *rest]).rstrip())
            if not number:
                lines.append("  " + "-" * (sum(widths) + 2 * len(widths) - 2))
        notes = [f"  {note}" for note in self.notes]
        return "\n".join([*lines, *([""] if notes else []), *notes, ""])

    def document(self) -> dict[str, object]:
        """Return the table for JSON: one object per row."""
        return {
            "title": self.title,
            "rows": [dict(zip(self.columns, row, strict=True)) for row in self.rows],
            "notes": list(self.notes),
        }


def _shown(cell: Cell) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, float):
        return f"{cell:.3g}" if abs(cell) < 100 else f"{cell:.0f}"
    return str(cell)


def ratio(one: float, other: float) -> str:
    """Return how many times ``other`` goes into ``one``."""
    return f"{one / other:.2f}x" if other else "-"


def met(value: float, limit: float) -> str:
    """Say what a figure shall be below, and whether it is."""
    return f"< {limit:g} {'met' if value < limit else 'MISSED'}"


def machine() -> dict[str, object]:
    """Name what measured: processor, cores, system, Python, load before the run."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "flags": "-X dev" if sys.flags.dev_mode else "",
        "load": [round(average, 2) for average in os.getloadavg()],
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    for line in lines:
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
