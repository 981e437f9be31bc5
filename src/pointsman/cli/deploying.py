"""The commands that change what the cluster serves.  Edge."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pointsman.cli import completing, differences, tables, uploads, verdicts
from pointsman.cli.options import (
    FILE,
    REFUSED,
    ending,
    examples,
    if_match,
    note,
    reaching,
    waiting,
)
from pointsman.cli.progress import Progress
from pointsman.cli.reached import Change
from pointsman.cli.reaching import reached
from pointsman.cli.watching import watch as watch_folder

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.cli.reached import Document, Reached
    from pointsman.cli.where import Where

_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)


def _end(verdict: Document, *, as_json: bool) -> int:
    if as_json:
        tables.print_json(verdict)
    else:
        verdicts.print_verdict(verdict)
    return REFUSED if verdicts.is_refused(verdict) else 0


@contextmanager
def _voting(where: Where) -> Iterator[Reached]:
    """Give the cluster, and tell of the votes for as long as the block takes."""
    with (
        reached(where) as cluster,
        Progress() as progress,
        progress.votes(cluster.on_its_way),
    ):
        yield cluster


@click.command(
    epilog=examples(
        "pointsman deploy crm.py",
        "pointsman deploy crm.py orders-1.2.0.sar --note 'new prices'",
        "pointsman deploy build/crm.py --package crm --if-match 12",
        "pointsman deploy orders.sar --remove old-orders --dry-run",
        "pointsman deploy --watch services/",
    )
)
@click.argument("files", metavar="FILE...", type=FILE, nargs=-1)
@click.option("--package", default="", metavar="NAME", help="What the file must be.")
@click.option(
    "--remove",
    multiple=True,
    metavar="NAME",
    help="Take this package away in the same generation.",
    shell_complete=completing.packages,
)
@click.option("--dry-run", is_flag=True, help="Show what would change; change nothing.")
@click.option(
    "--watch", type=_FOLDER, metavar="DIR", help="Deploy on each save, until Ctrl-C."
)
@note
@if_match
@waiting
@reaching
@ending
def deploy(
    *,
    files: tuple[Path, ...],
    package: str,
    remove: tuple[str, ...],
    dry_run: bool,
    watch: Path | None,
    note: str,
    if_match: int | None,
    wait: float,
    where: Where,
    as_json: bool,
) -> int:
    """Deploy modules, archives and wheels: all of them in one generation, or none.

    Every node loads them beside what serves; when all have, all switch.  When one
    fails, nothing changes, and its traceback is shown.  What is deployed already is
    not deployed again.
    """
    change = Change(wait, note, if_match)
    if watch is not None:
        if files or remove or dry_run or package:
            raise click.UsageError("--watch takes all that it deploys from DIR")
        return watch_folder(watch, where, change, as_json=as_json)
    if not files and not remove:
        raise click.UsageError("name a FILE to deploy, or a package to --remove")
    if package and (len(files) != 1 or remove or dry_run):
        raise click.UsageError("--package goes with one FILE, and nothing else")
    with (
        uploads.opened(files, package) as opened,
        reached(where) as cluster,
        Progress() as progress,
    ):
        if dry_run:
            document = cluster.plan(opened, remove, progress)
        else:
            with progress.votes(cluster.on_its_way):
                document = cluster.deploy(opened, remove, change, progress)
    return _plan(document, as_json) if dry_run else _end(document, as_json=as_json)


def _plan(plan: Document, as_json: bool) -> int:  # noqa: FBT001
    if as_json:
        tables.print_json(plan)
    else:
        differences.print_plan(plan)
        number = plan["generation"]
        tables.say(f"\nagainst generation {number}; nothing was changed", "dim")
    return REFUSED if any(one["clash"] for one in plan["packages"]) else 0


@click.command(
    epilog=examples(
        "pointsman undeploy crm",
        "pointsman undeploy crm orders --note 'moved to another site'",
        "pointsman undeploy prices --cascade      with all that import from it",
    )
)
@click.argument(
    "names",
    metavar="NAME...",
    nargs=-1,
    required=True,
    shell_complete=completing.packages,
)
@click.option("--cascade", is_flag=True, help="And the packages that import from them.")
@note
@if_match
@waiting
@reaching
@ending
def undeploy(
    *,
    names: tuple[str, ...],
    cascade: bool,
    note: str,
    if_match: int | None,
    wait: float,
    where: Where,
    as_json: bool,
) -> int:
    """Take packages away, in one generation; requests in flight are finished."""
    with _voting(where) as cluster:
        verdict = cluster.undeploy(names, Change(wait, note, if_match), cascade=cascade)
    return _end(verdict, as_json=as_json)


@click.command(
    epilog=examples(
        "pointsman rollback crm             to what it was before",
        "pointsman rollback crm --to 12     to what generation 12 had",
        "pointsman rollback crm --to 3f2a9c to the artifact with this digest",
        "pointsman rollback --to 12         all packages, and stopped services",
    )
)
@click.argument("name", required=False, shell_complete=completing.packages)
@click.option(
    "--to", metavar="GENERATION|DIGEST", help="Where to go back to.  [what was before]"
)
@note
@if_match
@waiting
@reaching
@ending
def rollback(
    *,
    name: str | None,
    to: str | None,
    note: str,
    if_match: int | None,
    wait: float,
    where: Where,
    as_json: bool,
) -> int:
    """Go back with one package, or with --to and without NAME with all of them."""
    change = Change(wait, note, if_match)
    if name is None and not (to and to.isascii() and to.isdigit()):
        raise click.UsageError("name a package, or a whole generation with --to NUMBER")
    with _voting(where) as cluster:
        if name is None:
            verdict = cluster.rollback_to(int(to or ""), change)
        else:
            verdict = cluster.rollback(name, to, change)
    return _end(verdict, as_json=as_json)


_services = click.argument(
    "services",
    metavar="SERVICE...",
    nargs=-1,
    required=True,
    shell_complete=completing.services,
)


@click.command(epilog=examples("pointsman stop crm.customer --note 'incident 42'"))
@_services
@note
@if_match
@waiting
@reaching
@ending
def stop(
    *,
    services: tuple[str, ...],
    note: str,
    if_match: int | None,
    wait: float,
    where: Where,
    as_json: bool,
) -> int:
    """Let services answer 503, on all nodes, over restarts, until they are started.

    Requests in flight are finished.
    """
    with _voting(where) as cluster:
        verdict = cluster.stop(services, Change(wait, note, if_match))
    return _end(verdict, as_json=as_json)


@click.command(epilog=examples("pointsman start crm.customer"))
@_services
@note
@if_match
@waiting
@reaching
@ending
def start(
    *,
    services: tuple[str, ...],
    note: str,
    if_match: int | None,
    wait: float,
    where: Where,
    as_json: bool,
) -> int:
    """Let stopped services answer again."""
    with _voting(where) as cluster:
        verdict = cluster.start(services, Change(wait, note, if_match))
    return _end(verdict, as_json=as_json)
