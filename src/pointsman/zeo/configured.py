"""A zeo.conf, read.  Effects."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ZEO.runzeo import ZEOOptions

from pointsman.errors import ConfigError


class Options(ZEOOptions):  # type: ignore[misc]  # ZEO has no types
    """ZEO's own options, whose faults are told and not printed."""

    logsectionname = None  # it would begin to log when a file is only read

    def usage(self, msg: object) -> NoReturn:
        """Tell what is wrong.

        Raises:
            ConfigError: always.

        """
        raise ConfigError(" ".join(str(msg).split()))


@dataclass(frozen=True, slots=True)
class Configured:
    """What a zeo.conf says of the server, besides what is ZEO's affair.

    ``address`` is a path, or host and port.  ``log_file`` is None where it logs to
    standard error.
    """

    file: Path
    address: str | tuple[str, int]
    pid_file: Path
    log_file: Path | None
    encrypted: bool
    options: Options

    @property
    def place(self) -> str:
        """Return the address as people write it."""
        if isinstance(self.address, str):
            return self.address
        return f"{self.address[0]}:{self.address[1]}"


def read(file: Path) -> Configured:
    """Read a file.

    Raises:
        ConfigError: it cannot be read, says something wrong, or names no pid file.

    """
    options: Any = Options()
    try:
        options.realize(["-C", str(file)])
    except ConfigError as error:
        raise ConfigError(f"{file}: {error}") from None
    if not options.pid_file:
        message = f"{file}: <zeo> needs pid-filename, by which it is found again"
        raise ConfigError(message)
    return Configured(
        file=file,
        address=options.address,
        pid_file=Path(options.pid_file),
        log_file=_log_file(options.configroot.eventlog),
        encrypted=options.ssl is not None,
        options=options,
    )


def _log_file(log: Any) -> Path | None:
    for handler in log.handler_factories if log is not None else ():
        with contextlib.suppress(AttributeError):  # a handler of another kind
            if handler.section.path not in {"STDOUT", "STDERR"}:
                return Path(handler.section.path)
    return None
