"""The commands that tell what was: history, show, events.  Edge."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

import click

from pointsman.cli import completing, differences, records, tables
from pointsman.cli.options import NUMBER, ending, examples, reaching
from pointsman.cli.reaching import reached
from pointsman.errors import Refused

if TYPE_CHECKING:
    from pointsman.cli.reached import Document, Reached
    from pointsman.cli.where import Where


@click.command(
    epilog=examples("pointsman history", "pointsman history -n 100 --json | jq .")
)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    help="How many, the newest.",
)
@reaching
@ending
def history(*, count: int, where: Where, as_json: bool) -> int:
    """List the generations, the newest first; → is what serves."""
    with reached(where) as cluster:
        document = cluster.generations(count)
    return tables.answer(
        document,
        lambda: records.print_history(document["generations"]),
        as_json=as_json,
    )


@click.command(
    epilog=examples(
        "pointsman show 12 --no-diff",
        "pointsman show 12 | less -R",
        "pointsman show 12 --json | jq '.votes[].duration_ms'",
    )
)
@click.argument("number", type=NUMBER, shell_complete=completing.generations)
@click.option(
    "--diff/--no-diff", default=True, help="And what its sources changed, by line."
)
@reaching
@ending
def show(*, number: int, diff: bool, where: Where, as_json: bool) -> int:
    """Tell all about a generation: who, what, how each node voted, how long it took."""
    with reached(where) as cluster:
        document = cluster.generation(number)
        if diff:
            document["packages"] = _changed(cluster, number)
    if as_json:
        tables.print_json(document)
        return 0
    records.print_generation(document)
    if diff and document["packages"] is not None:
        differences.print_differences(document["packages"])
    return 0


def _changed(cluster: Reached, number: int) -> list[Document] | None:
    """Return what a generation changed; None where the one before it is not kept.

    The record is told all the same: it is what is left of what was.
    """
    try:
        found: list[Document] = cluster.diff(number)["packages"]
    except Refused as error:
        if error.status != HTTPStatus.NOT_FOUND:
            raise
        tables.note(error.detail)
        return None
    return found


@click.command(
    epilog=examples("pointsman events", "pointsman events -n 1000 | grep lock")
)
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, 1000),
    default=50,
    show_default=True,
    help="How many, the newest.",
)
@reaching
@ending
def events(*, count: int, where: Where, as_json: bool) -> int:
    """List what was done, by whom and from where, the newest first."""
    with reached(where) as cluster:
        document = cluster.events(count)
    return tables.answer(
        document, lambda: records.print_events(document["events"]), as_json=as_json
    )
