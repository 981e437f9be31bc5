"""The words of the command line, and how each command ends.  Edge."""

from __future__ import annotations

import functools
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import get_completion_class

import pointsman
from pointsman.cli import hosts, rehearsing, sections, tables
from pointsman.control.application import report_document
from pointsman.errors import Error, Refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.cli.rehearsing import Checked

REFUSED, UNREACHABLE = 1, 3
_INI = Path("deploy.ini")
_CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


@click.group(context_settings=_CONTEXT, no_args_is_help=True)
@click.version_option(pointsman.__version__, prog_name="pointsman")
def main() -> None:
    """Look after the services of a pointsman host.

    \b
    examples:
      pointsman check deploy.ini      what a start would do, without serving
      pointsman reload                read the sources again, without losing a request
      pointsman services              what is served, and where

    The server itself is started by paster: paster serve deploy.ini

    Exit codes: 0 done, 1 refused, 2 usage, 3 not reachable.
    """


def _ending(command: Callable[..., int]) -> Callable[..., None]:
    """Add ``--json``, and let the command end with its code or with one sentence."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document.")
    @functools.wraps(command)
    def ended(*, as_json: bool, **given: Any) -> None:
        try:
            code = command(as_json=as_json, **given)
        except Error as error:
            code = UNREACHABLE if isinstance(error, hosts.UnreachableError) else REFUSED
            if as_json:
                tables.print_json({"error": str(error), "exit_code": code})
            click.echo(f"pointsman: {_told(error)}", err=True)
        sys.exit(code)

    return ended


def _told(error: Error) -> str:
    if isinstance(error, Refused):
        return f"refused ({error.status} {error.title}): {error.detail}"
    return str(error)


def _variables(
    _context: click.Context, _parameter: click.Parameter, words: tuple[str, ...]
) -> dict[str, str]:
    found = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not name or not equals:
            raise click.BadParameter(f"{word!r} is not var=value")
        found[name] = value
    return found


_words = click.argument(
    "variables", metavar="[VAR=VALUE]...", nargs=-1, callback=_variables
)


@main.command()
@click.argument("ini", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@_words
@click.option("--server-name", default="", metavar="NAME", help="Check [server:NAME].")
@_ending
def check(
    ini: Path, variables: dict[str, str], server_name: str, *, as_json: bool
) -> int:
    """Do all that a start does, without serving.

    Reads the settings, scans the sources, runs everything in a rehearsal, loads it
    and calls start() and stop() of the services; tells what failed, with the
    traceback.  VAR=VALUE as for paster.

    \b
    examples:
      pointsman check deploy.ini
      pointsman check deploy.ini --json | jq '.sections[].packages[].status'
    """
    found = sections.hosts(ini, variables)
    if server_name or "server:main" in sections.names(ini):
        sections.address(ini, server_name or "main", variables)
    checked = [rehearsing.check(section) for section in found]
    failed = any(one.report.failed for one in checked)
    if as_json:
        tables.print_json(
            {"ok": not failed, "sections": [_document(o) for o in checked]}
        )
    else:
        _print_checked(checked, failed=failed)
    return REFUSED if failed else 0


def _document(checked: Checked) -> dict[str, Any]:
    return {
        "section": checked.section,
        **report_document(checked.report),
        "services": [
            {key: one[key] for key in ("name", "path", "package", "origin")}
            for one in checked.services
        ],
        "warnings": checked.warnings,
    }


def _print_checked(checked: list[Checked], *, failed: bool) -> None:
    for one in checked:
        click.secho(f"[{one.section}]", bold=True)
        tables.print_report(asdict(one.report) | {"packages": _packages(one)})
        for service in one.services:
            click.echo(f"{service['name']} would be at {service['path']}")
        for warning in one.warnings:
            click.secho(f"warning: {warning}", fg="yellow")
    click.echo("not all of it can be served" if failed else "all of it can be served")


def _packages(checked: Checked) -> list[dict[str, Any]]:
    return [asdict(outcome) for outcome in checked.report.outcomes]


def _reaching(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which host is meant."""
    for option in reversed(
        (
            click.option(
                "--ini",
                type=click.Path(exists=True, dir_okay=False, path_type=Path),
                help="The ini of the host: says URL and token file  [deploy.ini]",
            ),
            click.option(
                "--url",
                help="The host, or its control surface: http://HOST:PORT[/PATH]",
            ),
            click.option(
                "--token-file",
                type=click.Path(dir_okay=False, path_type=Path),
                help="Where the token is.",
            ),
            click.option(
                "--server-name",
                default="main",
                metavar="NAME",
                help="[server:NAME] of the ini.",
            ),
            click.option(
                "--timeout",
                type=click.FloatRange(0, min_open=True),
                default=300.0,
                metavar="SECONDS",
                show_default=True,
                help="How long to wait for the answer.",
            ),
            _words,
        )
    ):
        command = option(command)
    return command


def _target(
    *,
    ini: Path | None,
    url: str | None,
    token_file: Path | None,
    server_name: str,
    variables: dict[str, str],
) -> hosts.Target:
    if ini is None and _INI.is_file():
        ini = _INI
    if ini is None and url is None:
        raise click.UsageError(
            "which host? there is no deploy.ini here; name it with --ini or --url"
        )
    if url is not None and token_file is not None:
        ini = None  # all is said; an ini that happens to be here is another's
    return hosts.target(ini, variables, url, token_file, server_name)


@main.command()
@_reaching
@_ending
def reload(*, timeout: float, as_json: bool, **where: Any) -> int:
    """Let a running host read its sources again.

    What changed is rehearsed, loaded beside what serves, and switched; what fails
    goes on as it was.  Tells what became of each package.

    \b
    examples:
      pointsman reload
      pointsman reload --ini /srv/site/deploy.ini
      pointsman reload --url https://site.example --token-file ~/site.token
    """
    report = hosts.reload(_target(**where), timeout)
    failed = bool(report.get("detail"))
    if as_json:
        tables.print_json(report)
        return REFUSED if failed else 0
    tables.print_report(report)
    click.echo(
        f"generation {report['generation']} serves in process {report['pid']}, after "
        f"{report['duration_ms']:.0f} ms"
    )
    if "warning" in report:
        click.secho(f"warning: {report['warning']}", fg="yellow", err=True)
    if failed:
        click.echo(f"pointsman: {report['detail']}", err=True)
    return REFUSED if failed else 0


@main.command()
@_reaching
@_ending
def services(*, timeout: float, as_json: bool, **where: Any) -> int:
    """List what a running host serves, and where.

    \b
    examples:
      pointsman services
      pointsman services --json | jq -r '.services[].path'
    """
    document = hosts.services(_target(**where), timeout)
    if as_json:
        tables.print_json(document)
    else:
        tables.print_services(document["services"])
    return 0


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print what a shell needs to complete the words of this command.

    \b
    examples:
      pointsman completion bash > /etc/bash_completion.d/pointsman
      pointsman completion zsh > "${fpath[1]}/_pointsman"
      pointsman completion fish > ~/.config/fish/completions/pointsman.fish
    """
    kind = get_completion_class(shell)
    if kind is None:  # pragma: no cover - the choices are click's own
        raise click.UsageError(f"nothing is known for {shell}")
    click.echo(kind(main, {}, "pointsman", "_POINTSMAN_COMPLETE").source())
