"""Where the output of a server goes.

Effects.  ``--log-file`` becomes the process's standard output and error, so that
whatever a library prints is there too; SIGUSR1 opens it anew after a rotation.
Files that a ``[handler_...]`` of the ini writes are that handler's affair: use
``logging.handlers.WatchedFileHandler`` there.
"""

from __future__ import annotations

import logging
import logging.config
import os
import stat
import sys
from configparser import ConfigParser, RawConfigParser
from configparser import Error as IniError
from contextlib import suppress
from typing import TYPE_CHECKING

from pointsman import inclusion
from pointsman.errors import ConfigError, ReleaseError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def redirect(path: Path, *, anew: bool = False) -> None:
    """Send standard output and error to the end of the file.  Any thread.

    A server that was started by another one may have it already, and no right to open
    it.  ``anew`` opens it in any case.

    Raises:
        ReleaseError: the file cannot be opened; the output stays where it was.

    """
    if not anew and _is_output(path):
        return
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        raise ReleaseError(
            f"the log file {path} cannot be written: {error.strerror}; "
            "make its folder writable or name another file with --log-file"
        ) from error
    _flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)


def _is_output(path: Path) -> bool:
    try:
        there = path.stat()
        return all(os.path.samestat(there, os.fstat(each)) for each in (1, 2))
    except OSError:
        return False


def give(user: int, group: int | None) -> None:
    """Give the log file to the account that is going to write it, and to rotate it."""
    with suppress(OSError):
        if stat.S_ISREG(os.fstat(1).st_mode):
            os.fchown(1, user, -1 if group is None else group)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.flush()


def configure(ini: Path | None, variables: Mapping[str, str], verbosity: int) -> None:
    """Set up logging as the ini says, or to standard error when it says nothing.

    Raises:
        ConfigError: the ini's logging sections are wrong.

    """
    if ini is None or not _has_loggers(ini):
        levels = {-1: logging.WARNING, 0: logging.INFO}
        level = levels.get(max(verbosity, -1), logging.DEBUG)
        logging.basicConfig(level=level, format=_FORMAT)
        return
    try:
        logging.config.fileConfig(
            _logging_parser(ini, variables), disable_existing_loggers=False
        )
    except (KeyError, ValueError, TypeError, OSError, RuntimeError, IniError) as error:
        raise ConfigError(
            f"{ini}: the logging sections ([loggers], [handlers], [formatters] and "
            f"theirs) are wrong: {type(error).__name__}: {error}"
        ) from error


def _logging_parser(ini: Path, variables: Mapping[str, str]) -> ConfigParser:
    """Return the ini with the variables of the command line, which win."""
    parser = ConfigParser({"here": str(ini.parent), "__file__": str(ini)})
    parser.read(ini, encoding="utf-8")
    local = inclusion.file_of(ini, variables)
    if local is not None:
        _lay_over(parser, local)
    parser.read_dict({parser.default_section: variables})
    return parser


def _lay_over(parser: ConfigParser, local: Path) -> None:
    """Let the logging sections of an included file win, key by key."""
    found = RawConfigParser()
    found.read(local, encoding="utf-8")
    for section in found.sections():
        if section.startswith(("logger", "handler", "formatter")):
            parser.read_dict({section: dict(found[section])}, source=str(local))


def _has_loggers(ini: Path) -> bool:
    parser = RawConfigParser(strict=False)
    try:
        parser.read(ini, encoding="utf-8")
    except (IniError, UnicodeDecodeError) as error:
        message = " ".join(str(error).split())
        raise ConfigError(f"{ini} is no ini file: {message}") from error
    return parser.has_section("loggers")
