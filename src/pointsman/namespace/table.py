"""Which modules the files of an artifact are.  Decisions."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def module_table(files: Mapping[str, bytes]) -> dict[str, str | None]:
    """Return module name to path; None for a folder without ``__init__.py``.

    A package wins over a module of the same name, as in CPython.
    """
    table: dict[str, str | None] = {}
    for path in sorted(p for p in files if p.endswith(".py")):
        parts = path[:-3].split("/")
        if not all(part.isidentifier() for part in parts):
            continue
        for depth in range(1, len(parts)):
            table.setdefault(".".join(parts[:depth]), None)
        if parts[-1] == "__init__":
            table[".".join(parts[:-1])] = path
        elif not (table.get(".".join(parts)) or "").endswith("/__init__.py"):
            table[".".join(parts)] = path
    return table


def tops(files: Mapping[str, bytes]) -> frozenset[str]:
    """Return the top-level names of the modules among ``files``.

    Each has one owner in a process: it must be nobody else's, the host's neither.
    """
    return frozenset(name.partition(".")[0] for name in module_table(files))
