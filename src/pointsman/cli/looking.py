"""The commands that tell what there is: packages, services, nodes, threads.  Edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pointsman.cli import completing, overview, tables
from pointsman.cli.options import ending, examples, reaching, variables
from pointsman.cli.reaching import reached
from pointsman.errors import Refused, did_you_mean

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.cli.reached import Document, Reached
    from pointsman.cli.where import Where


@click.command(
    epilog=examples(
        "pointsman packages",
        "pointsman packages --json | jq -r '.packages[].digest'",
    )
)
@reaching
@ending
def packages(*, where: Where, as_json: bool) -> int:
    """List the packages that the active generation holds."""
    with reached(where) as cluster:
        document = cluster.packages()
    return tables.answer(
        document, lambda: overview.print_packages(document["packages"]), as_json=as_json
    )


@click.command(
    epilog=examples(
        "pointsman services",
        "pointsman services --json | jq -r '.services[].path'",
    )
)
@variables
@reaching
@ending
def services(*, where: Where, as_json: bool) -> int:
    """List what is served, and where."""
    with reached(where) as cluster:
        document = cluster.services()
    return tables.answer(
        document, lambda: overview.print_services(document["services"]), as_json=as_json
    )


@click.command(
    epilog=examples(
        "pointsman nodes",
        "pointsman nodes --leaks      what old versions leave in memory",
    )
)
@click.option("--leaks", is_flag=True, help="And ask each for what it cannot let go.")
@reaching
@ending
def nodes(*, leaks: bool, where: Where, as_json: bool) -> int:
    """List the nodes: what each runs, serves, and has not let go of."""
    with reached(where) as cluster:
        document = cluster.nodes(leaks=leaks)
    if as_json:
        tables.print_json(document)
    else:
        overview.print_nodes(document["nodes"])
        if leaks:
            overview.print_leaks(document["nodes"])
    return 0


@click.command(
    epilog=examples(
        "pointsman threads 4242                    by its pid",
        "pointsman threads web1:4242:81023:1       by its whole name",
    )
)
@click.argument("node", shell_complete=completing.nodes)
@reaching
@ending
def threads(*, node: str, where: Where, as_json: bool) -> int:
    """Show what each thread of a node is doing, and for which service.

    NODE is its name as `pointsman nodes --json` tells it, the beginning of that, or
    the pid.
    """
    with reached(where) as cluster:
        name = named(cluster, node)
        document = cluster.threads(name)
    return tables.answer(
        document, lambda: overview.print_threads(document["threads"]), as_json=as_json
    )


def named(cluster: Reached, word: str) -> str:
    """Return the node that is meant: by its name, pid, or the beginning of its name.

    Raises:
        Refused: 404, there is none; 409, it can be any of several.

    """
    known: Sequence[Document] = cluster.nodes()["nodes"]
    for test in (_is_whole, _is_pid, _is_beginning):
        found = [one["node"] for one in known if test(one, word)]
        if len(found) == 1:
            return str(found[0])
        if found:
            raise Refused(409, "Conflict", f"{word} can be any of {', '.join(found)}")
    near = did_you_mean(word, [one["node"] for one in known])
    raise Refused(404, "Not Found", f"there is no node {word!r}{near}")


def _is_whole(node: dict[str, Any], word: str) -> bool:
    return bool(node["node"] == word)


def _is_pid(node: dict[str, Any], word: str) -> bool:
    return bool(str(node["pid"]) == word)


def _is_beginning(node: dict[str, Any], word: str) -> bool:
    # Every name begins with an empty word, and it names nobody: "$NODE" was not set.
    return bool(word and node["node"].startswith(word))
