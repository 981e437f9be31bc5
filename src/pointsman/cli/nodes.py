"""The commands for a node behind a load balancer: drain and resume.  Edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pointsman.cli import completing, looking, tables
from pointsman.cli.options import ending, examples, reaching
from pointsman.cli.reaching import reached
from pointsman.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pointsman.cli.reached import Document, Reached
    from pointsman.cli.where import Where


@click.group(
    no_args_is_help=True,
    epilog=examples(
        "pointsman node drain web1       all nodes of this host",
        "pointsman node resume web1",
    ),
)
def node() -> None:
    """Take nodes out of a load balancer, and put them back."""


@node.command(
    epilog=examples(
        "pointsman node drain web1                     all nodes of this host",
        "pointsman node drain 4242                     one, by its pid",
        "pointsman node drain web1:4242:81023:1        one, by its whole name",
    )
)
@click.argument("nodes", nargs=-1, required=True, shell_complete=completing.nodes)
@reaching
@ending
def drain(*, nodes: Sequence[str], where: Where, as_json: bool) -> int:
    """Let nodes answer 503 at health/ready, and vote no more.

    They go on serving who still comes, and follow what is deployed, until they are
    resumed or end.  Each of NODES is a host, or a node's name as `pointsman nodes
    --json` tells it, the beginning of that, or the pid.
    """
    with reached(where) as cluster:
        found = _moved(cluster, nodes, cluster.drain)
        left = sum(one["state"] == "ready" for one in cluster.nodes()["nodes"])
    _tell(found, "drains", as_json=as_json)
    if not left:
        tables.note("no node is ready any more: a balancer has nobody to ask")
    return 0


@node.command(
    epilog=examples(
        "pointsman node resume web1                    all nodes of this host",
        "pointsman node resume 4242                    one, by its pid",
    )
)
@click.argument("nodes", nargs=-1, required=True, shell_complete=completing.nodes)
@reaching
@ending
def resume(*, nodes: Sequence[str], where: Where, as_json: bool) -> int:
    """Let drained nodes be ready and vote again.

    Each of NODES is a host, or a node's name as `pointsman nodes --json` tells it, the
    beginning of that, or the pid.
    """
    with reached(where) as cluster:
        found = _moved(cluster, nodes, cluster.resume)
    _tell(found, "takes requests again", as_json=as_json)
    return 0


def _moved(
    cluster: Reached, words: Sequence[str], move: Callable[[str], Document]
) -> list[Document]:
    """Find all of them first, so that a slip of the pen changes nothing."""
    names = dict.fromkeys(name for word in words for name in _meant(cluster, word))
    return [move(name) for name in names]


def _meant(cluster: Reached, word: str) -> list[str]:
    known = cluster.nodes()["nodes"]
    of_host = [one for one in known if one["host"] == word]
    if not of_host:
        return [looking.named(cluster, word)]
    serving = [one["node"] for one in of_host if one["serves"]]
    if not serving:
        raise Refused(404, "Not Found", f"no node of {word} serves")
    return serving


def _tell(nodes: Sequence[Document], what: str, *, as_json: bool) -> None:
    if as_json:
        tables.print_json({"nodes": nodes})
        return
    for one in nodes:
        again = "" if one["changed"] else " already"
        tables.say(f"{one['node']} {what}{again}")
