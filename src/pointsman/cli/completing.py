"""Names for the shell to complete: from the cluster, if it answers soon.  Edge.

Whatever goes wrong is no answer: nobody wants an error in the middle of a word.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any

from pointsman.cli.reaching import reached
from pointsman.cli.where import Where

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click

    from pointsman.cli.reached import Reached

_PATIENCE = 1.0  # seconds
_SOME = 20


def packages(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the packages that begin so."""
    return _found(context, incomplete, _packages)


def services(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the services that begin so."""
    return _found(context, incomplete, _services)


def nodes(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the nodes that begin so, by their whole name or their pid."""
    return _found(context, incomplete, _nodes)


def generations(
    context: click.Context, _parameter: click.Parameter, incomplete: str
) -> list[str]:
    """Return the newest generations that begin so."""
    return _found(context, incomplete, _generations)


def _packages(cluster: Reached) -> Iterable[str]:
    return [one["package"] for one in cluster.packages()["packages"]]


def _services(cluster: Reached) -> Iterable[str]:
    return [one["name"] for one in cluster.services()["services"]]


def _nodes(cluster: Reached) -> Iterable[str]:
    found = cluster.nodes()["nodes"]
    return [one["node"] for one in found] + [str(one["pid"]) for one in found]


def _generations(cluster: Reached) -> Iterable[str]:
    found = cluster.generations(_SOME)["generations"]
    return [str(one["generation"]) for one in found]


def _found(
    context: click.Context,
    incomplete: str,
    names: Callable[[Reached], Iterable[str]],
) -> list[str]:
    try:
        with (
            contextlib.redirect_stderr(io.StringIO()),
            reached(_where(context.params)) as cluster,
        ):
            return [name for name in names(cluster) if name.startswith(incomplete)]
    except Exception:  # noqa: BLE001 - the top: see the module
        return []


def _where(given: dict[str, Any]) -> Where:
    # Nobody is asked for a password in the middle of a word: no --user.
    keys = ("ini", "url", "token_file", "ledger", "server_name")
    known = {key: given[key] for key in keys if given.get(key) is not None}
    variables = {**given.get("variables_of_ini", {}), **given.get("variables", {})}
    return Where(**known, variables=variables, timeout=_PATIENCE)
