"""What people see: tables on a terminal, and plain lines elsewhere.  Effects."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_STYLES = {
    "added": "green",
    "updated": "green",
    "removed": "yellow",
    "unchanged": "dim",
    "host": "dim",
    "failed": "bold red",
}
# A file or a pipe has no width; a table for it must not be folded.
_WIDE = 1000


def out() -> Console:
    """Return where tables go: standard output as it is now."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def print_json(document: Any) -> None:
    """Print one document."""
    print(json.dumps(document, ensure_ascii=False, indent=1))  # noqa: T201 - its purpose


def print_report(report: Mapping[str, Any]) -> None:
    """Print what became of each package, then what went wrong, whole."""
    table = _table("package", "status", "services", "why")
    for one in report["packages"]:
        status = Text(one["status"], style=_STYLES.get(one["status"], ""))
        names = ", ".join(one["services"])
        table.add_row(Text(one["package"]), status, Text(names), Text(one["reason"]))
    console = out()
    console.print(table)
    for one in report["packages"]:
        if one["traceback"]:
            console.print(Text(f"\n{one['package']}:\n{one['traceback'].rstrip()}"))
    for problem in report["problems"]:
        console.print(Text(f"{problem['where']}: {problem['reason']}", style="red"))
    for name in report["stuck"]:
        sentence = f"{name} is stuck: only a restart of the process frees it"
        console.print(Text(sentence, style="red"))


def print_services(services: Iterable[Mapping[str, Any]]) -> None:
    """Print the services, in order of their paths."""
    table = _table("path", "service", "package", "version", "in flight", "from")
    for one in services:
        version, busy = str(one["digest"])[:12], str(one["in_flight"])
        texts = (one["path"], one["name"], one["package"], version, busy, one["origin"])
        table.add_row(*map(Text, texts))
    out().print(table)


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
