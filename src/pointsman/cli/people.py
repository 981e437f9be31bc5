"""The commands about who may deploy: tokens, and the lock.  Edge."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from pointsman.cli import periods, tables
from pointsman.cli.options import ending, examples, reaching
from pointsman.cli.reaching import reached
from pointsman.cluster import Role

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pointsman.cli.reached import Document
    from pointsman.cli.where import Where


@click.group(
    no_args_is_help=True,
    epilog=examples(
        "pointsman token create ci --role deployer --expires 90d --packages 'crm*'",
        "pointsman token list",
        "pointsman token revoke ci",
    ),
)
def token() -> None:
    """Make, list and revoke the tokens that deployments need."""


def _period(
    _context: click.Context, _parameter: click.Parameter, text: str
) -> float | None:
    try:
        return periods.seconds(text)
    except ValueError as error:
        raise click.BadParameter(str(error)) from None


@token.command(
    epilog=examples(
        "pointsman token create ci --role deployer --expires 90d",
        "pointsman token create shop --role deployer --packages 'shop*'",
        "TOKEN=$(pointsman token create ci --role deployer)",
    )
)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    default=str(Role.DEPLOYER),
    show_default=True,
    help="What it allows.",
)
@click.option(
    "--expires",
    "lasts",
    default="never",
    callback=_period,
    metavar="PERIOD",
    show_default=True,
    help="When it ends: 90d, 12h, 8w.",
)
@click.option(
    "--packages",
    multiple=True,
    metavar="PATTERN",
    help="Only packages named like this: 'crm*'.  Again for more.",
)
@reaching
@ending
def create(
    *,
    name: str,
    role: str,
    lasts: float | None,
    packages: tuple[str, ...],
    where: Where,
    as_json: bool,
) -> int:
    """Make a token, and print it this once.

    In a pipe it stands alone on standard output, for TOKEN=$(…).
    """
    with reached(where) as cluster:
        document = cluster.create_token(name, role, packages, lasts)
    if as_json:
        tables.print_json(document)
        return 0
    click.echo(document["token"])
    if sys.stdout.isatty():
        click.echo("keep it well: it is not shown again", err=True)
    return 0


@token.command("list", epilog=examples("pointsman token list"))
@reaching
@ending
def list_(*, where: Where, as_json: bool) -> int:
    """List the tokens, without themselves."""
    with reached(where) as cluster:
        document = cluster.tokens()
    return tables.answer(
        document, lambda: _print_tokens(document["tokens"]), as_json=as_json
    )


def _print_tokens(tokens: Iterable[Document]) -> None:
    table = tables.table(
        "id", "name", "role", "packages", "state", "made by", "expires", "last used"
    )
    for one in tokens:
        table.add_row(
            tables.text(str(one["id"])),
            tables.text(one["name"]),
            tables.text(one["role"]),
            tables.text(", ".join(one["packages"]) or "all"),
            tables.status(one["state"]),
            tables.text(one["created_by"]),
            tables.text(tables.local(one["expires_at"]) or "never"),
            tables.text(tables.local(one["used_at"]) or "never"),
        )
    tables.show(table)


@token.command(epilog=examples("pointsman token revoke ci"))
@click.argument("name", metavar="NAME|ID")
@reaching
@ending
def revoke(*, name: str, where: Where, as_json: bool) -> int:
    """Revoke a token: from now on it opens nothing."""
    with reached(where) as cluster:
        document = cluster.revoke_token(name)
    return tables.answer(document, f"{name} is revoked", as_json=as_json)


@click.command(
    epilog=examples("pointsman lock 'incident 42'", "pointsman lock 'year-end closing'")
)
@click.argument("reason")
@reaching
@ending
def lock(*, reason: str, where: Where, as_json: bool) -> int:
    """Freeze deployments for everybody but you, until you unlock."""
    with reached(where) as cluster:
        document = cluster.lock(reason)
    holder = document["actor"]["name"]
    told = f"only {holder} deploys from now on: {document['reason']}"
    return tables.answer(document, told, as_json=as_json)


@click.command(epilog=examples("pointsman unlock", "pointsman unlock --force"))
@click.option("--force", is_flag=True, help="Also when it is somebody else's.")
@reaching
@ending
def unlock(*, force: bool, where: Where, as_json: bool) -> int:
    """Let everybody deploy again."""
    with reached(where) as cluster:
        document = cluster.unlock(force=force)
    return tables.answer(document, "deployments are not locked", as_json=as_json)
