"""``reload``: every node reads its sources again.  Edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pointsman.cli import overview, tables
from pointsman.cli.options import (
    REFUSED,
    Seconds,
    ending,
    examples,
    reaching,
    variables,
)
from pointsman.cli.progress import Progress
from pointsman.cli.reaching import reached

if TYPE_CHECKING:
    from pointsman.cli.where import Where


@click.command(
    epilog=examples(
        "pointsman reload",
        "pointsman reload --ini /srv/site/deploy.ini",
        "pointsman reload --url https://site.example --token-file ~/site.token",
        "pointsman reload --confirm-removals      the files are meant to be gone",
    )
)
@variables
@click.option(
    "--confirm-removals",
    is_flag=True,
    help="Undeploy what is gone from a directory that is held.",
)
@click.option(
    "--wait",
    type=Seconds(0, 3600),
    default=30.0,
    metavar="SECONDS",
    show_default=True,
    help="How long the other nodes may take to answer.",
)
@reaching
@ending
def reload(*, confirm_removals: bool, wait: float, where: Where, as_json: bool) -> int:
    """Let every node read its service list and its directories again.

    What changed is rehearsed, loaded beside what serves, and switched; what fails
    goes on as it was.  Tells what became of each package.
    """
    with reached(where) as cluster, Progress() as progress:
        progress.say("the nodes read their sources")
        report = cluster.reload(confirm_removals=confirm_removals, wait=wait)
    code = REFUSED if "detail" in report else 0
    if as_json:
        tables.print_json(report)
        return code
    overview.print_reload(report)
    if code:
        tables.note(report["detail"])
    return code
