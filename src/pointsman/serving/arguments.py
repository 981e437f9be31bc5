"""The words of ``paster serve``: what the command line says, as one value.

Decisions.  The words are PasteScript's, so that scripts and habits stay valid.
"""

from __future__ import annotations

import argparse
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from pointsman.errors import Error

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

DEFAULT_PID_FILE = "paster.pid"
DEFAULT_LOG_FILE = "paster.log"
VERBS = ("start", "stop", "restart", "status")
START_TIMEOUT = 120.0
_SCHEME = re.compile(r"^[a-z][a-z]+:", re.IGNORECASE)

_EXAMPLES = """\
examples:
  paster serve deploy.ini                    in the foreground, until Ctrl-C
  paster serve deploy.ini http_port=8081     with %(http_port)s in the ini
  paster serve --reload deploy.ini           for development: restarts on a change
  paster serve --daemon deploy.ini           in the background; returns when it answers
  paster serve --status                      what runs here, since when, how busy
  paster serve --stop-daemon                 answer what is running, then end
  paster serve deploy.ini restart            the last two words of a service script

signals to the server:
  TERM, INT   stop: finish all requests; a second INT stops at once
  HUP         reload the services, as POST .../api/v1/reload does
  USR1        open the log file anew (after it was renamed)

exit codes: 0 done, 1 refused or failed, 2 wrong usage;
--status: 0 runs, 1 dead but has a pid file, 3 does not run, 4 unknown.
"""


class UsageError(Error):
    """The command line makes no sense; exit code 2."""


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for.

    ``ini`` is a path or a PasteDeploy URI (``egg:...``).  ``verb`` is one of
    :data:`VERBS` or ``serve``.  ``pid_file`` is None when none is to be written;
    ``verbosity`` counts from -1 (quiet) over 0 to 1 and more (tracebacks).
    """

    verb: str = "serve"
    ini: str | None = None
    daemon: bool = False
    reload: bool = False
    reload_interval: float = 1.0
    pid_file: Path | None = None
    log_file: Path | None = None
    user: str | None = None
    group: str | None = None
    app_name: str | None = None
    server: str | None = None
    server_name: str | None = None
    start_timeout: float = START_TIMEOUT
    variables: Mapping[str, str] | None = None
    verbosity: int = 0

    @property
    def uri(self) -> str:
        """Return the ini as PasteDeploy wants it."""
        ini = self.ini or ""
        return ini if _SCHEME.match(ini) else f"config:{Path(ini).absolute()}"

    @property
    def ini_path(self) -> Path | None:
        """Return the ini's path, or None when the application is in an egg."""
        kind, _, rest = self.uri.partition(":")
        return Path(rest.partition("#")[0]) if kind == "config" else None


class _Parser(argparse.ArgumentParser):
    """Raises instead of leaving the process."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message}; see paster serve --help")


def parse(words: Sequence[str]) -> Order:
    """Read the words behind ``serve``.

    Raises:
        UsageError: the words make no sense.

    """
    return _order(_parser().parse_intermixed_args(words))


def _parser() -> _Parser:
    parser = _Parser(
        prog="paster serve",
        description="Serve the application of a PasteDeploy ini.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("ini", metavar="INI", nargs="?", help="the ini, or egg:NAME")
    parser.add_argument(
        "words",
        metavar="WORD",
        nargs="*",
        help="start|stop|restart|status, and var=value for %%(var)s in the ini",
    )
    _add_parts(parser)
    _add_daemon(parser)
    _add_development(parser)
    _add_verbosity(parser)
    return parser


def _add_parts(parser: argparse.ArgumentParser) -> None:
    part = parser.add_argument_group("what to serve")
    part.add_argument("-n", "--app-name", metavar="NAME", help="[app:NAME], not main")
    part.add_argument("--server-name", metavar="NAME", help="[server:NAME], not main")
    part.add_argument(
        "-s", "--server", metavar="URI", help="a server of an egg: egg:waitress#main"
    )


def _add_daemon(parser: argparse.ArgumentParser) -> None:
    part = parser.add_argument_group("in the background")
    part.add_argument(
        "--daemon",
        action="store_true",
        help="return when the server answers requests, or with the reason",
    )
    part.add_argument(
        "--pid-file",
        type=Path,
        metavar="FILE",
        help=f"who runs (with --daemon: {DEFAULT_PID_FILE}); FILE.sock is beside it",
    )
    part.add_argument(
        "--log-file",
        type=Path,
        metavar="FILE",
        help=f"where output goes (with --daemon: {DEFAULT_LOG_FILE})",
    )
    part.add_argument(
        "--start-timeout",
        type=_seconds,
        default=START_TIMEOUT,
        metavar="SECONDS",
        help="--daemon gives up after this time (%(default)g)",
    )
    part.add_argument("--status", action="store_true", help="tell what runs")
    part.add_argument("--stop-daemon", action="store_true", help="one graceful stop")
    part.add_argument("--user", metavar="NAME", help="serve as this user")
    part.add_argument("--group", metavar="NAME", help="serve as this group")


def _add_development(parser: argparse.ArgumentParser) -> None:
    part = parser.add_argument_group("development")
    part.add_argument(
        "--reload",
        action="store_true",
        help="start anew when a module or the ini changes; no connection is refused",
    )
    part.add_argument(
        "--reload-interval",
        type=_seconds,
        default=1.0,
        metavar="SECONDS",
        help="between two looks at the files (%(default)g)",
    )


def _add_verbosity(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="with tracebacks"
    )
    parser.add_argument("-q", "--quiet", action="count", default=0, help="errors only")


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError("must be more than 0")
    return number


def _order(given: argparse.Namespace) -> Order:
    verb, variables = _words(given)
    daemon = given.daemon or verb in {"start", "restart"}
    _check(given, verb, daemon=daemon)
    by_default = daemon or verb in {"stop", "status"}
    return Order(
        verb=verb,
        ini=given.ini,
        daemon=daemon,
        reload=given.reload,
        reload_interval=given.reload_interval,
        pid_file=_file(given.pid_file, DEFAULT_PID_FILE, by_default=by_default),
        log_file=_file(given.log_file, DEFAULT_LOG_FILE, by_default=daemon),
        user=given.user,
        group=given.group,
        app_name=given.app_name,
        server=given.server,
        server_name=given.server_name,
        start_timeout=given.start_timeout,
        variables=variables,
        verbosity=given.verbose - given.quiet,
    )


def _file(given: Path | None, default: str, *, by_default: bool) -> Path | None:
    chosen = given or (Path(default) if by_default else None)
    return chosen.absolute() if chosen else None


def _words(given: argparse.Namespace) -> tuple[str, dict[str, str]]:
    """Tell the verb and the variables that the words hold."""
    words = list(given.words)
    verb = words.pop(0) if words and words[0] in VERBS else "serve"
    verb = "status" if given.status else "stop" if given.stop_daemon else verb
    variables = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name:
            raise UsageError(
                f"{word!r} is neither {'|'.join(VERBS)} nor var=value; "
                "see paster serve --help"
            )
        variables[name] = value
    return verb, variables


def _check(given: argparse.Namespace, verb: str, *, daemon: bool) -> None:
    """Refuse what does not go together."""
    if given.ini is None and verb not in {"stop", "status"}:
        raise UsageError("which ini? for example: paster serve deploy.ini")
    if given.status and given.stop_daemon:
        raise UsageError("--status and --stop-daemon do not go together")
    if given.reload and daemon:
        raise UsageError("--reload and --daemon do not go together")
    if given.server and given.server_name:
        raise UsageError("--server and --server-name do not go together")
