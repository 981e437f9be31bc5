"""The commands.  Edge."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import get_completion_class

import pointsman
from pointsman.cli import hosts, rehearsing, sections, tables
from pointsman.cli.options import FILE, REFUSED, ending, examples, reaching, variables
from pointsman.control.application import report_document

if TYPE_CHECKING:
    from pointsman.cli.rehearsing import Checked

_INI = Path("deploy.ini")


@click.group(
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    epilog=examples(
        "pointsman check deploy.ini      what a start would do, without serving",
        "pointsman reload                read the sources again; no request is lost",
        "pointsman services              what is served, and where",
    ),
)
@click.version_option(pointsman.__version__, prog_name="pointsman")
def main() -> None:
    """Look after the services of a pointsman host.

    The server itself is started by paster: paster serve deploy.ini

    Exit codes: 0 done, 1 refused, 2 usage, 3 not reachable.
    """


@main.command(
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

    Reads the settings, scans the sources, rehearses and loads everything, lets the
    services check(), and tells what failed, with the traceback.  Starts nothing.
    VAR=VALUE is %(VAR)s in the ini, as for paster.
    """
    found = sections.hosts(ini, variables)
    if server_name or "server:main" in sections.names(ini):
        sections.address(ini, server_name or "main", variables)
    checked = [rehearsing.check(section) for section in found]
    failed = any(one.report.failed for one in checked)
    if as_json:
        documents = [_document(one) for one in checked]
        tables.print_json({"ok": not failed, "sections": documents})
    else:
        _print_checked(checked, failed=failed)
    return REFUSED if failed else 0


def _document(checked: Checked) -> dict[str, Any]:
    keys = ("name", "path", "package", "origin")
    return {
        "section": checked.section,
        **report_document(checked.report),
        "services": [{key: one[key] for key in keys} for one in checked.services],
        "warnings": checked.warnings,
    }


def _print_checked(checked: list[Checked], *, failed: bool) -> None:
    for one in checked:
        click.secho(f"[{one.section}]", bold=True)
        tables.print_report(report_document(one.report))
        for service in one.services:
            click.echo(f"{service['name']} would be at {service['path']}")
        for warning in one.warnings:
            click.secho(f"warning: {warning}", fg="yellow")
    click.echo("not all of it can be served" if failed else "all of it can be served")


def _target(
    *,
    ini: Path | None,
    url: str | None,
    token_file: Path | None,
    server_name: str,
    variables: dict[str, str],
) -> hosts.Target:
    if ini is None and _INI.is_file() and not (url and token_file):
        ini = _INI
    if ini is None and url is None:
        raise click.UsageError(
            "which host? there is no deploy.ini here; name it with --ini or --url"
        )
    return hosts.target(ini, variables, url, token_file, server_name)


@main.command(
    epilog=examples(
        "pointsman reload",
        "pointsman reload --ini /srv/site/deploy.ini",
        "pointsman reload --url https://site.example --token-file ~/site.token",
    )
)
@reaching
@ending
def reload(*, timeout: float, as_json: bool, **where: Any) -> int:
    """Let a running host read its sources again.

    What changed is rehearsed, loaded beside what serves, and switched; what fails
    goes on as it was.  Tells what became of each package.
    """
    report = hosts.reload(_target(**where), timeout)
    code = REFUSED if "detail" in report else 0
    if as_json:
        tables.print_json(report)
        return code
    tables.print_report(report)
    click.echo(
        f"generation {report['generation']} serves in process {report['pid']}, after "
        f"{report['duration_ms']:.0f} ms"
    )
    if "warning" in report:
        click.secho(f"warning: {report['warning']}", fg="yellow", err=True)
    if code:
        click.echo(f"pointsman: {report['detail']}", err=True)
    return code


@main.command(
    epilog=examples(
        "pointsman services",
        "pointsman services --json | jq -r '.services[].path'",
    )
)
@reaching
@ending
def services(*, timeout: float, as_json: bool, **where: Any) -> int:
    """List what a running host serves, and where."""
    document = hosts.services(_target(**where), timeout)
    if as_json:
        tables.print_json(document)
    else:
        tables.print_services(document["services"])
    return 0


@main.command(
    epilog=examples(
        "pointsman completion bash > /etc/bash_completion.d/pointsman",
        'pointsman completion zsh > "${fpath[1]}/_pointsman"',
        "pointsman completion fish > ~/.config/fish/completions/pointsman.fish",
    )
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell needs to complete the words of this command."""
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - the choices are click's own
        raise click.UsageError(f"nothing is known of {shell}")
    click.echo(kind(main, {}, "pointsman", "_POINTSMAN_COMPLETE").source())
