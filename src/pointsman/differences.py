"""What is different between two versions of a package, for people.  Decisions."""

from __future__ import annotations

import difflib
import io
import tokenize
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pointsman.cluster import Entry

#: Files with more bytes or lines are named, and not compared line by line: that
#: would take longer than anybody reads.
LARGEST = 256 * 1024
LONGEST = 5_000
#: As much text is told of one package; what is more is named only.
_MOST = 1024 * 1024

Status = Literal["added", "updated", "unchanged", "removed"]


@dataclass(frozen=True, slots=True)
class FileDifference:
    """One file that is different.

    ``diff`` is unified; without it ``note`` says why there is none: binary, or
    too large.
    """

    path: str
    status: Status
    diff: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Difference:
    """One package of two generations; ``files`` are those that are not the same."""

    package: str
    status: Status
    old: Entry | None = None
    new: Entry | None = None
    files: tuple[FileDifference, ...] = ()


def status_of(old: Entry | None, new: Entry | None) -> Status:
    """Return what became of a package."""
    if old is None:
        return "added" if new is not None else "unchanged"
    if new is None:
        return "removed"
    return "unchanged" if old.digest == new.digest else "updated"


def between(
    old: Mapping[str, bytes], new: Mapping[str, bytes]
) -> Iterator[FileDifference]:
    """Return the files that differ, by path, the text ones line by line."""
    told = 0
    for path in sorted({*old, *new}):
        before, after = old.get(path), new.get(path)
        if before != after:
            status: Status = "updated"
            if before is None or after is None:
                status = "added" if before is None else "removed"
            diff, note = _compared(path, before, after)
            told += len(diff)
            if told > _MOST:
                diff, note = "", "not told: the differences of this package are long"
            yield FileDifference(path, status, diff, note)


def _compared(path: str, before: bytes | None, after: bytes | None) -> tuple[str, str]:
    sizes = [len(side) for side in (before, after) if side is not None]
    if max(sizes) > LARGEST:
        return "", f"too large to compare: {' to '.join(map(str, sizes))} bytes"
    old, new = _lines(path, before), _lines(path, after)
    if old is None or new is None:
        return "", f"binary: {' to '.join(map(str, sizes))} bytes"
    if max(len(old), len(new)) > LONGEST:
        return "", f"too long to compare: {len(old)} to {len(new)} lines"
    names = (
        "/dev/null" if before is None else f"a/{path}",
        "/dev/null" if after is None else f"b/{path}",
    )
    return "".join(_unified(old, new, names)), ""


def _unified(old: list[str], new: list[str], names: tuple[str, str]) -> Iterator[str]:
    for line in difflib.unified_diff(old, new, *names):
        yield line
        if not line.endswith("\n"):  # as diff(1) says it, so that patch(1) takes it
            yield "\n\\ No newline at end of file\n"


def _lines(path: str, content: bytes | None) -> list[str] | None:
    """Return the lines of a text, as they are; None for what is no text."""
    if content is None:
        return []
    if b"\0" in content:
        return None
    encoding = "utf-8"
    try:
        if path.endswith(".py"):
            encoding, _ = tokenize.detect_encoding(io.BytesIO(content).readline)
        text = content.decode(encoding)
    except (SyntaxError, ValueError, LookupError):
        return None
    return [f"{line}\n" for line in text.split("\n")[:-1]] + [
        line for line in text.split("\n")[-1:] if line
    ]
