"""``ledger check``: the full check of the database.  Edge."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import click

from pointsman.cli import tables
from pointsman.cli.options import REFUSED, ending, examples, reaching
from pointsman.cli.reaching import completed
from pointsman.errors import ConfigError

if TYPE_CHECKING:
    from pointsman.cli.where import Where
    from pointsman.settings import Settings


def of(settings: Settings) -> tuple[str, ...]:
    """Return all damage of the ledger; none where there is no ledger yet.

    Raises:
        LedgerError: it cannot be opened.

    """
    from pointsman.ledger import has_ledger, ledger_of  # noqa: PLC0415 - see `reaching`

    if not has_ledger(settings):
        return ()
    with closing(ledger_of(settings)) as ledger:
        return ledger.check()


@click.group(
    no_args_is_help=True,
    epilog=examples(
        "pointsman ledger check --ini deploy.ini",
        "pointsman ledger backup /backup/site.ledger",
    ),
)
def ledger() -> None:
    """Look after the database of generations itself."""


@ledger.command(
    epilog=examples(
        "pointsman ledger check",
        "pointsman ledger check --ini /srv/site/deploy.ini --json | jq .damage",
    )
)
@reaching
@ending
def check(*, where: Where, as_json: bool) -> int:
    """Check the whole database, and each artifact in it; servers go on meanwhile."""
    from pointsman.cli import sections  # noqa: PLC0415 - see `reaching`
    from pointsman.ledger import has_ledger, ledger_url  # noqa: PLC0415

    ini = completed(where).ini
    if ini is None:
        raise click.UsageError("a ledger is found by its ini; name it with --ini")
    settings = sections.hosts(ini, where.variables)[0].settings
    if not has_ledger(settings):
        url = ledger_url(settings)
        raise ConfigError(f"there is no ledger {url} yet; the first start makes it")
    damage = of(settings)
    if as_json:
        tables.print_json({"ok": not damage, "damage": damage})
    else:
        for one in damage:
            tables.say(one, "red")
        tables.say("the ledger is damaged" if damage else "the ledger is whole")
    return REFUSED if damage else 0
