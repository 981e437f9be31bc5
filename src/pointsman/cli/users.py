"""The commands about users: who signs in with a name and a password.  Edge."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from pointsman.cli import passwords, tables
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
        "pointsman user create anna --admin",
        "pointsman user list",
        "pointsman nodes --user anna",
    ),
)
def user() -> None:
    """Make, list and remove those who sign in with a password."""


@user.command(
    epilog=examples(
        "pointsman user create anna --admin",
        "pointsman user create berit --role viewer < password.txt",
    )
)
@click.argument("name")
@click.option(
    "--role",
    type=click.Choice([str(role) for role in Role]),
    default=str(Role.DEPLOYER),
    show_default=True,
    help="What the user may do.",
)
@click.option("--admin", "role", flag_value=str(Role.ADMIN), help="--role admin")
@reaching
@ending
def create(*, name: str, role: str, where: Where, as_json: bool) -> int:
    """Make a user; ask for the password.

    On a terminal it is typed twice; else it is a line of standard input.  This works
    before the first start, too.
    """
    with reached(where, first=True) as cluster:
        document = cluster.create_user(name, role, passwords.chosen(name))
    return tables.answer(document, f"{name} signs in as {role}", as_json=as_json)


@user.command("list", epilog=examples("pointsman user list"))
@reaching
@ending
def list_(*, where: Where, as_json: bool) -> int:
    """List the users, the removed ones too."""
    with reached(where) as cluster:
        document = cluster.users()
    return tables.answer(document, lambda: _print(document["users"]), as_json=as_json)


def _print(users: Iterable[Document]) -> None:
    table = tables.table("name", "role", "state", "made by", "made", "last signed in")
    for one in users:
        table.add_row(
            tables.text(one["name"]),
            tables.text(one["role"]),
            tables.status(one["state"]),
            tables.text(one["created_by"]),
            tables.text(tables.local(one["created_at"])),
            tables.text(tables.local(one["used_at"]) or "never"),
        )
    tables.show(table)


@user.command(epilog=examples("pointsman user passwd anna"))
@click.argument("name")
@reaching
@ending
def passwd(*, name: str, where: Where, as_json: bool) -> int:
    """Give a user another password; the old one opens nothing from now on."""
    with reached(where) as cluster:
        document = cluster.change_password(name, passwords.chosen(name))
    return tables.answer(document, f"{name} has another password", as_json=as_json)


@user.command(epilog=examples("pointsman user remove anna"))
@click.argument("name")
@reaching
@ending
def remove(*, name: str, where: Where, as_json: bool) -> int:
    """Remove a user: from now on nobody signs in with this name."""
    with reached(where) as cluster:
        document = cluster.remove_user(name)
    return tables.answer(document, f"{name} is removed", as_json=as_json)
