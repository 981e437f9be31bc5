"""From the options to a cluster: through a server, or through its ledger.  Effects."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pointsman.cli import hosts, tables
from pointsman.cli.hosts import UnreachableError
from pointsman.cli.over_http import OverHttp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.cli.reached import Reached
    from pointsman.cli.where import Where

INI = Path("deploy.ini")


@contextmanager
def reached(where: Where) -> Iterator[Reached]:
    """Give the cluster that is meant.

    The ledger is used when it was asked for; or when nobody answers where the ini
    says, and the ledger is there: that is told on standard error.

    Raises:
        ConfigError: the ini or the token cannot be used.
        UnreachableError: no server answers, and there is no ledger.
        LedgerError: the ledger cannot be used.
        click.UsageError: nothing says which host is meant.

    """
    found = _reached(completed(where))
    try:
        yield found
    finally:
        found.close()


def completed(where: Where) -> Where:
    """Fill in the ini of this folder, where it is meant.

    The token that it names is for this machine, and is sent to no other.

    Raises:
        click.UsageError: nothing says which host is meant.

    """
    if where.ledger and where.url is not None:
        raise click.UsageError("--ledger and --url exclude each other")
    if where.ini is not None:
        return where
    local = where.url is None or (not where.token_file and hosts.is_here(where.url))
    if local and INI.is_file():
        return replace(where, ini=INI)
    if where.url is None:
        raise click.UsageError(
            "which host? there is no deploy.ini here; name it with --ini or --url"
        )
    return where


def _reached(where: Where) -> Reached:
    if where.url is not None or where.ini is None:
        return OverHttp(hosts.target(where), where.timeout)
    # They import all of the host: half a second that a client elsewhere saves.
    from pointsman.cli import sections  # noqa: PLC0415
    from pointsman.cli.over_ledger import OverLedger  # noqa: PLC0415
    from pointsman.ledger import has_ledger  # noqa: PLC0415

    section = sections.hosts(where.ini, where.variables)[0]
    if where.ledger:
        return OverLedger(section, tables.note)
    there = has_ledger(section.settings)
    if not there or f"server:{where.server_name}" in sections.names(where.ini):
        target = hosts.target(where)
        if hosts.accepts(target):
            return OverHttp(target, where.timeout)
        why = f"no server answers at {target.unix_socket or target.url}"
        if not there:
            raise UnreachableError(f"{why}, and there is no ledger yet; start it first")
    else:
        why = f"{where.ini} has no [server:{where.server_name}]"
    found = OverLedger(section, tables.note)
    tables.note(f"{why}; this goes to the ledger itself, {found.url}")
    return found
