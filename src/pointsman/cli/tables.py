"""What people see: tables on a terminal, and plain lines elsewhere.  Effects."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

_STYLES = {
    "added": "green",
    "updated": "green",
    "removed": "yellow",
    "unchanged": "dim",
    "host": "dim",
    "failed": "bold red",
    "active": "bold green",
    "retired": "dim",
    "staging": "yellow",
    "queued": "yellow",
    "ready": "green",
    "behind": "bold red",
    "lease ended": "red",
    "stopped": "yellow",
    "valid": "green",
    "revoked": "dim",
    "expired": "dim",
}
# The controls of ASCII as ^X, those of Latin-1 as what stands for the unprintable.
_CONTROLS = {
    **{code: f"^{chr(code ^ 0x40)}" for code in (*range(0x20), 0x7F)},
    **dict.fromkeys(range(0x80, 0xA0), "\ufffd"),
    ord("\n"): "\n",
    ord("\t"): "\t",
}
# How the lines begin that say where, in tracebacks and in stacks.
_FRAMES = ("  File", "  [pointsman]")
# A file or a pipe has no width; a table for it must not be folded.
_WIDE = 1000


def out() -> Console:
    """Return where tables go: standard output as it is now."""
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_WIDE)


def print_json(document: Any) -> None:
    """Print one document."""
    print(json.dumps(document, ensure_ascii=False, indent=1))  # noqa: T201 - its purpose


def answer(document: Any, told: str | Callable[[], None], *, as_json: bool) -> int:
    """Print a document as JSON, or what people are told instead; return exit code 0."""
    if as_json:
        print_json(document)
    elif isinstance(told, str):
        say(told)
    else:
        told()
    return 0


def table(*columns: str) -> Table:
    """Return an empty table."""
    found = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        found.add_column(column, overflow="fold")
    return found


def show(shown: Table) -> None:
    """Print a table; elsewhere than on a terminal without blanks at ends of lines."""
    console = out()
    if console.is_terminal:
        console.print(shown)
        return
    with console.capture() as captured:
        console.print(shown)
    for line in captured.get().splitlines():
        print(line.rstrip())  # noqa: T201 - its purpose


def text(content: str, style: str = "") -> Text:
    """Return a text as a terminal may show it.

    What came from an artifact or a name must not move the cursor or change the title
    of a window: control characters are shown, not sent (ECMA-48).
    """
    return Text(content.translate(_CONTROLS), style=style)


def status(word: str) -> Text:
    """Return a word for what became of something, in its colour."""
    return text(word, _STYLES.get(word, ""))


def say(sentence: str, style: str = "") -> None:
    """Print a line, which may be of several, as it is."""
    out().print(text(sentence, style), soft_wrap=True)


def local(moment: str | None) -> str:
    """Return a moment of a document as the clock on the wall has it."""
    if moment is None:
        return ""
    return datetime.fromisoformat(moment).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def short(digest: str) -> str:
    """Return as much of a digest as people compare."""
    return digest[:12]


def milliseconds(number: float | None) -> str:
    """Return a duration as people say it."""
    if number is None:
        return ""
    if number < 10:  # noqa: PLR2004
        return f"{number:.1f} ms"
    return f"{number:.0f} ms" if number < 10_000 else f"{number / 1000:.1f} s"  # noqa: PLR2004


def traceback(told: str) -> None:
    """Print a traceback, set off from what stands around it."""
    for line in told.rstrip().splitlines():
        say(f"    {line}", "dim" if line.startswith(_FRAMES) else "")


def note(sentence: str) -> None:
    """Say what people should know, and what is not the answer, on standard error."""
    click.echo(f"pointsman: {text(sentence).plain}", err=True)


def print_json_line(document: Any) -> None:
    """Print one of several documents, on a line of its own."""
    print(json.dumps(document, ensure_ascii=False), flush=True)  # noqa: T201 - its purpose
