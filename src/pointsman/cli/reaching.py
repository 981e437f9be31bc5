"""From the options to a cluster: through a server, or through its ledger.  Effects."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pointsman.cli import hosts, passwords, tables
from pointsman.cli.hosts import UnreachableError
from pointsman.cli.over_http import OverHttp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.cli.hosts import Target
    from pointsman.cli.reached import Reached
    from pointsman.cli.where import Where

INI = Path("deploy.ini")


@contextmanager
def reached(where: Where, *, first: bool = False) -> Iterator[Reached]:
    """Give the cluster that is meant.

    The ledger is used when it was asked for; or when nobody answers where the ini
    says, and the ledger is there: that is told on standard error.  What may be done
    ``first`` of all makes a ledger where there is none.

    Raises:
        ConfigError: the ini or the token cannot be used.
        UnreachableError: no server answers, and there is no ledger.
        LedgerError: the ledger cannot be used.
        click.UsageError: nothing says which host is meant.

    """
    found = _reached(completed(where), first=first)
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
    if where.user and (where.ledger or where.token_file is not None):
        other = "--ledger, which asks nobody who you are," if where.ledger else ""
        other = other or "--token-file"
        raise click.UsageError(f"--user and {other} exclude each other")
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


def _reached(where: Where, *, first: bool) -> Reached:
    if where.url is not None or where.ini is None:
        return _over_http(hosts.target(where), where)
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
            return _over_http(target, where)
        why = f"no server answers at {target.unix_socket or target.url}"
        if not there and not first:
            raise UnreachableError(f"{why}, and there is no ledger yet; start it first")
    else:
        why = f"{where.ini} has no [server:{where.server_name}]"
    found = OverLedger(section, tables.note)
    tables.note(f"{why}; this goes to the ledger itself, {found.url}")
    return found


def _over_http(target: Target, where: Where) -> OverHttp:
    """Ask a server; whoever signs in is asked for the password now, and once."""
    if where.user:
        password = passwords.asked(where.user)
        target = replace(target, user=where.user, password=password)
    return OverHttp(target, where.timeout)
