"""``check``: all that a start does, without serving.  Edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from pointsman.cli import damage, overview, tables
from pointsman.cli.options import FILE, REFUSED, ending, examples, variables
from pointsman.control import documents

if TYPE_CHECKING:
    from pathlib import Path

    from pointsman.cli.rehearsing import Checked


@click.command(
    epilog=examples(
        "pointsman check deploy.ini",
        "pointsman check deploy.ini --json | jq .ok",
    )
)
@click.argument("ini", type=FILE)
@variables
@click.option("--server-name", metavar="NAME", help="Check [server:NAME], not main.")
@ending
def check(
    *, ini: Path, variables: dict[str, str], server_name: str | None, as_json: bool
) -> int:
    """Do all that a start does, without serving.

    Reads the settings, checks the ledger, scans the sources, rehearses and loads
    everything, lets the services check(), and tells what failed, with the
    traceback.  Starts nothing.  VAR=VALUE is %(VAR)s in the ini, as for paster.
    """
    from pointsman.cli import rehearsing, sections  # noqa: PLC0415 - see `reaching`

    found = sections.hosts(ini, variables)
    if server_name or "server:main" in sections.names(ini):
        sections.address(ini, server_name or "main", variables)
    damaged = [damage.of(section.settings) for section in found]
    checked = [
        rehearsing.check(section, deployed=not lost)
        for section, lost in zip(found, damaged, strict=True)
    ]
    failed = any(one.report.failed for one in checked) or any(damaged)
    if as_json:
        both = zip(checked, damaged, strict=True)
        documents_ = [_document(one, lost) for one, lost in both]
        tables.print_json({"ok": not failed, "sections": documents_})
    else:
        for one, lost in zip(checked, damaged, strict=True):
            _print_checked(one, lost)
        end = "not all of it can be served" if failed else "all of it can be served"
        click.echo(end)
    return REFUSED if failed else 0


def _document(checked: Checked, damaged: tuple[str, ...]) -> dict[str, Any]:
    keys = ("name", "path", "package", "origin")
    return {
        "section": checked.section,
        **documents.report(checked.report),
        "services": [{key: one[key] for key in keys} for one in checked.services],
        "warnings": checked.warnings,
        "ledger": damaged,
    }


def _print_checked(checked: Checked, damaged: tuple[str, ...]) -> None:
    click.secho(f"[{checked.section}]", bold=True)
    overview.print_report(documents.report(checked.report))
    for service in checked.services:
        click.echo(f"{service['name']} would be at {service['path']}")
    for warning in checked.warnings:
        click.secho(f"warning: {warning}", fg="yellow")
    for one in damaged:
        click.secho(f"the ledger is damaged: {one}", fg="red")
