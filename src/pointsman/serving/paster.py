"""The ``paster`` command.

Effects: the top of a process.  It tells what happened in one sentence on standard
error, with a traceback only when asked (``-v``), and by its exit code: 0 done,
1 refused or failed, 2 wrong usage; ``--status`` has codes of its own.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

import pointsman
from pointsman.errors import Error, did_you_mean
from pointsman.serving import (
    arguments,
    daemon,
    process,
    reloader,
    report,
    restarting,
    stopping,
)
from pointsman.serving.arguments import Order, UsageError
from pointsman.serving.handover.successor import inherited

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pointsman.serving.handover.successor import Successor

FAILED, USAGE = 1, 2
_ABOUT_OTHERS = {"status": report.show, "stop": stopping.stop}
_HELP = """\
usage: paster serve [options] INI [start|stop|restart|status] [var=value ...]

  paster serve --help     the options, with examples
  paster --version        the release
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    verbose = False
    try:
        return _command(words)
    except UsageError as error:
        sys.stderr.write(f"paster: {error}\n")
        return USAGE
    except Error as error:
        verbose = _wants_traceback(words)
        sys.stderr.write(f"paster: {error}\n")
        if verbose:
            sys.stderr.write(getattr(error, "traceback", ""))
        return FAILED
    except SystemExit as leaving:  # argparse, after --help
        return int(leaving.code or 0)


def _wants_traceback(words: Sequence[str]) -> bool:
    return arguments.parse(words[1:]).verbosity > 0


def _command(words: list[str]) -> int:
    command = words[0] if words else "--help"
    if command in {"--help", "-h", "help"}:
        sys.stdout.write(_HELP)
        return 0 if words else USAGE
    if command == "--version":
        sys.stdout.write(f"pointsman {pointsman.__version__}\n")
        return 0
    if command != "serve":
        raise UsageError(
            f"there is no command {command!r}{did_you_mean(command, ['serve'])}; "
            "see paster --help"
        )
    return _serve(arguments.parse(words[1:]), words[1:])


def _serve(order: Order, words: list[str]) -> int:
    if order.verb in _ABOUT_OTHERS:
        return _ABOUT_OTHERS[order.verb](order)
    successor = inherited(os.environ)
    if successor is not None:
        return _succeed(order, successor)
    if order.verb == "restart" and restarting.done(order):
        return 0
    if order.reload:
        return reloader.supervise(order, words)
    if order.daemon:
        return daemon.start(order)
    return process.run(order)


def _succeed(order: Order, successor: Successor) -> int:
    """Serve in place of the server that has started this process.

    It is in the background already, so ``--daemon`` and the verbs mean nothing.
    """
    try:
        successor.check(order)
        return process.run(order, successor=successor)
    except Error as error:
        successor.fail(str(error), getattr(error, "traceback", ""))
        raise
    except BaseException as error:
        successor.fail(f"{type(error).__name__}: {error}")
        raise
