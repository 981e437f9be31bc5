"""``ledger copy``, ``backup`` and ``restore``.  Edge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pointsman.cli import tables
from pointsman.cli.options import FILE, ending, examples, reaching
from pointsman.cli.reaching import completed

if TYPE_CHECKING:
    from pointsman.cli.where import Where
    from pointsman.ledger.copying import Copied


@click.command(
    epilog=examples(
        "pointsman lock 'we move to PostgreSQL'",
        "pointsman ledger copy sqlite:////srv/site/var/ledger.sqlite "
        "postgresql://site@db/site",
    )
)
@click.argument("source")
@click.argument("target")
@ending
def copy(*, source: str, target: str, as_json: bool) -> int:
    """Copy a whole ledger to another database, which must be new.

    Both are URLs, as in ledger.url.  What is copied is what was there at one moment;
    servers go on with the source until their ledger.url says otherwise.
    """
    copied = _copy(source, target)
    return _told(copied, f"{_shown(source)} is in {_shown(target)}", as_json=as_json)


@click.command(
    epilog=examples(
        "pointsman ledger backup /backup/site-$(date +%F).ledger",
        "pointsman ledger backup --ini /srv/site/deploy.ini /backup/site.ledger",
    )
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@reaching
@ending
def backup(*, file: Path, where: Where, as_json: bool) -> int:
    """Write the ledger to a new FILE, whatever database it is in; servers go on.

    It has everything: what is deployed, each version that is kept, who may deploy.
    """
    from pointsman.ledger import backups  # noqa: PLC0415 - see `reaching`

    copied = backups.backup(_url(where), file, _copy)
    return _told(copied, f"the ledger is in {file}", as_json=as_json)


@click.command(
    epilog=examples("pointsman ledger restore --ini deploy.ini /backup/site.ledger")
)
@click.argument("file", type=FILE)
@reaching
@ending
def restore(*, file: Path, where: Where, as_json: bool) -> int:
    """Read a backup into the ledger of the ini, which must be new."""
    from pointsman.ledger import backups  # noqa: PLC0415 - see `reaching`

    copied = backups.restore(_url(where), file, _copy)
    return _told(copied, f"{file} is in the ledger", as_json=as_json)


def _copy(source: str, target: str) -> Copied:
    from pointsman.ledger import copy_ledger  # noqa: PLC0415 - see `reaching`

    return copy_ledger(source, target)


def _url(where: Where) -> str:
    from pointsman.cli import sections  # noqa: PLC0415 - see `reaching`
    from pointsman.ledger import ledger_url  # noqa: PLC0415

    ini = completed(where).ini
    if ini is None:
        raise click.UsageError("a ledger is found by its ini; name it with --ini")
    return ledger_url(sections.hosts(ini, where.variables)[0].settings)


def _shown(url: str) -> str:
    """Return a URL without its password."""
    from sqlalchemy import make_url  # noqa: PLC0415 - see `reaching`
    from sqlalchemy.exc import ArgumentError  # noqa: PLC0415

    try:
        return make_url(url).render_as_string()
    except ArgumentError:
        return url


def _told(copied: Copied, sentence: str, *, as_json: bool) -> int:
    if as_json:
        document = {
            "active": copied.active,
            "rows": copied.rows,
            "artifact_bytes": copied.size,
        }
        tables.print_json(document)
    else:
        size = f"{copied.size / 2**20:.1f} MiB"
        many = f"{copied.rows['generation']} generations, {copied.rows['artifact']}"
        active = f"generation {copied.active} is active"
        tables.say(f"{sentence}: {many} artifacts of {size}; {active}")
    return 0
