"""What several commands share: their options, and how they end.  Edge."""

from __future__ import annotations

import functools
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pointsman.cli import tables
from pointsman.cli.hosts import UnreachableError
from pointsman.cli.where import Where
from pointsman.errors import Error, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

REFUSED, UNREACHABLE = 1, 3

#: A generation; also what a server takes (`control.routes`).
NUMBER = click.IntRange(1, 999_999_999)

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


class Seconds(click.FloatRange):
    """A range of seconds without *nan*, which no comparison keeps out."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Any:
        """Return the seconds."""
        found = super().convert(value, param, ctx)
        if math.isnan(found):
            self.fail(f"{value!r} is not a number of seconds", param, ctx)
        return found


def _require_text(given: Mapping[str, Any]) -> None:
    """Let only what is UTF-8 go on: no ledger and no server keeps anything else.

    Raises:
        click.UsageError: a word of the command line is not.

    """
    for value in given.values():
        for word in value if isinstance(value, tuple) else (value,):
            try:
                str(word if isinstance(word, str) else "").encode()
            except UnicodeEncodeError:
                raise click.UsageError(f"{word!a} is not UTF-8") from None


def ending(command: Callable[..., int]) -> Callable[..., None]:
    """Add ``--json``, and let the command end with its code or with one sentence."""

    @click.option("--json", "as_json", is_flag=True, help="One JSON document.")
    @functools.wraps(command)
    def ended(*, as_json: bool, **given: Any) -> None:
        _require_text(given)
        try:
            code = command(as_json=as_json, **given)
        except Error as error:
            code = UNREACHABLE if isinstance(error, UnreachableError) else REFUSED
            if as_json:
                tables.print_json({"error": str(error), "exit_code": code})
            tables.note(_told(error))
        except PermissionError as error:  # of another user's files: who owns them may
            code = REFUSED
            message = (
                f"{error.filename}: {error.strerror}; run it as its owner, or root"
            )
            if as_json:
                tables.print_json({"error": message, "exit_code": code})
            tables.note(message)
        sys.exit(code)

    return ended


def _told(error: Error) -> str:
    if isinstance(error, Refused):
        return f"refused ({error.status} {error.title}): {error.detail}"
    return str(error)


def examples(*lines: str) -> str:
    """Return the last part of a help text; click must not fold it."""
    return "\n".join(["\b", "examples:", *(f"  {line}" for line in lines)])


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


variables = click.argument(
    "variables", metavar="[VAR=VALUE]...", nargs=-1, callback=_variables
)

_REACHING: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--ini", type=FILE, help="Says URL and token file of the host.  [deploy.ini]"
    ),
    click.option("--url", help="The host: http://HOST:PORT, or with its control.path."),
    click.option(
        "--token-file",
        type=click.Path(dir_okay=False, path_type=Path),
        help="Where the token is; else POINTSMAN_TOKEN has it.",
    ),
    click.option(
        "--user",
        "signs_in",
        default="",
        metavar="NAME",
        help="Sign in with a password, which is asked for, and not with a token.",
    ),
    click.option(
        "--ledger",
        is_flag=True,
        help="Work with the ledger of the ini, and not through a server.",
    ),
    click.option(
        "--server-name",
        default="main",
        metavar="NAME",
        help="[server:NAME] of the ini.",
    ),
    click.option(
        "--var",
        "variables_of_ini",
        metavar="VAR=VALUE",
        multiple=True,
        callback=_variables,
        help="%(VAR)s in the ini.",
    ),
    click.option(
        "--timeout",
        type=Seconds(0, min_open=True),
        default=300.0,
        metavar="SECONDS",
        show_default=True,
        help="How long to wait for an answer.",
    ),
)


def reaching(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add the options that say which host is meant; hand them over as ``where``."""

    @functools.wraps(command)
    def reached(
        *,
        variables_of_ini: dict[str, str],
        variables: dict[str, str] | None = None,
        signs_in: str = "",
        **given: Any,
    ) -> Any:
        keys = ("ini", "url", "token_file", "ledger", "server_name", "timeout")
        where = Where(
            **{key: given.pop(key) for key in keys},
            user=signs_in,
            variables={**variables_of_ini, **(variables or {})},
        )
        return command(where=where, **given)

    wrapped: Callable[..., Any] = reached
    for option in reversed(_REACHING):
        wrapped = option(wrapped)
    return wrapped


def waiting(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--wait`` and ``--no-wait``; hand them over as seconds, ``wait``."""

    @functools.wraps(command)
    def waits(*, wait: float, no_wait: bool, **given: Any) -> Any:
        return command(wait=0.0 if no_wait else wait, **given)

    seconds = click.option(
        "--wait",
        type=Seconds(0, 3600),
        default=120.0,
        metavar="SECONDS",
        show_default=True,
        help="How long all nodes may take; then it is taken back.",
    )
    at_once = click.option(
        "--no-wait", is_flag=True, help="Propose it, and end at once."
    )
    return seconds(at_once(waits))


note = click.option("--note", default="", metavar="TEXT", help="Why, for the history.")
if_match = click.option(
    "--if-match",
    type=click.IntRange(0),
    metavar="N",
    help="Only if generation N is the active one.",
)
