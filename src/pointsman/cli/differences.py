"""Printing what is different: a plan, and what a generation has changed.  Effects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.cli import tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# The first that fits; what the names of files begin with stands before what lines do.
_STYLES = (
    ("+++", "bold"),
    ("---", "bold"),
    ("@@", "cyan"),
    ("+", "green"),
    ("-", "red"),
)


def print_plan(plan: Mapping[str, Any]) -> None:
    """Print what a deployment would do, and the difference of all sources."""
    table = tables.table("package", "would be", "artifact", "mounts", "loaded again")
    for one in plan["packages"]:
        table.add_row(
            tables.text(one["package"]),
            tables.status(one["status"]),
            tables.text(_versions(one)),
            tables.text(", ".join(one["mounts"])),
            tables.text(", ".join(one["importers"])),
        )
    tables.show(table)
    for one in plan["packages"]:
        if one["clash"]:
            tables.say(f"{one['package']} would be refused: {one['clash']}", "red")
    print_differences(plan["packages"])


def print_differences(packages: Iterable[Mapping[str, Any]]) -> None:
    """Print the files that are different, the text ones line by line."""
    for package in packages:
        for file in package["files"]:
            tables.say("")
            tables.say(f"{package['package']}: {file['path']} {file['status']}", "bold")
            if file["note"]:
                tables.say(file["note"], "dim")
            _print_diff(file["diff"])


def _print_diff(diff: str) -> None:
    console = tables.out()
    # Not splitlines(): a form feed or a NEL is part of a line of Python.
    for line in diff.removesuffix("\n").split("\n") if diff else ():
        style = next((s for start, s in _STYLES if line.startswith(start)), "")
        console.print(tables.text(line, style=style), soft_wrap=True)


def _versions(package: Mapping[str, Any]) -> str:
    old, new = (_version(package[side]) for side in ("old", "new"))
    return f"{old} → {new}" if old and new and old != new else new or old


def _version(entry: Mapping[str, Any] | None) -> str:
    if entry is None:
        return ""
    digest = tables.short(entry["digest"])
    return f"{entry['version']} ({digest})" if entry["version"] else digest
