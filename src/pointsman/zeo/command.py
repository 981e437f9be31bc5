"""The ``zeo`` command: start, stop, restart, status, run.  Edge.

Exit codes: 0 done, 1 failed, 2 wrong usage; those of ``status`` are the LSB's: 0 runs
and answers, 1 dead with a pid file, 3 does not run, 4 runs and does not answer.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pointsman.errors import Error, ReleaseError
from pointsman.serving import pidfile, processes, rights

if TYPE_CHECKING:
    from pointsman.serving.processes import Identity
    from pointsman.zeo.configured import Configured

FAILED = 1
RUNS, DEAD, STOPPED, UNKNOWN = 0, 1, 3, 4
_PATIENCE = 5.0


def main(file: str = "") -> int:
    """Do what the command line says; return the exit code.

    ``file`` is the zeo.conf where none is named; else that of ``etc/`` beside the
    folder of the script.
    """
    words = _parser(Path(file) if file else _beside()).parse_args()
    try:
        return _commanded(words)
    except Error as error:
        sys.stderr.write(f"zeo: {error}\n")
        return FAILED


def _beside() -> Path:
    return Path(sys.argv[0]).resolve().parent.parent / "etc" / "zeo.conf"


def _parser(file: Path) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zeo", description=main.__doc__)
    parser.description = "Runs the ZEO server of a zeo.conf."
    parser.add_argument(
        "-C",
        "--configure",
        metavar="FILE",
        type=Path,
        default=file,
        help=f"the zeo.conf; default {file}",
    )
    for word, seconds in ("start", 60.0), ("stop", 30.0):
        parser.add_argument(
            f"--{word}-timeout",
            type=float,
            default=seconds,
            metavar="SECONDS",
            help=f"default {seconds:g}",
        )
    parser.add_argument("verb", choices=["start", "stop", "restart", "status", "run"])
    return parser


def _commanded(words: argparse.Namespace) -> int:
    try:  # it imports ZODB; a usage error is told without
        from pointsman.zeo import configured  # noqa: PLC0415
    except ImportError as error:
        message = f"it needs ZEO: install pointsman[zodb] ({error})"
        raise ReleaseError(message) from error
    server = configured.read(words.configure)
    match words.verb:
        case "status":
            return _status(server)
        case "stop":
            return _stop(server, words.stop_timeout)
        case "restart":
            if _alive(server) is not None:
                _stop(server, words.stop_timeout)
            return _start(server, words.start_timeout)
        case "start":
            return _start(server, words.start_timeout)
    return _run(server)


# STARTING


def _start(server: Configured, timeout: float) -> int:
    from pointsman.zeo import background  # noqa: PLC0415

    _become_owner_of(server.pid_file.parent)
    pid = background.start(server, timeout)
    if pid >= 0:
        sys.stdout.write(f"serving {server.place}, pid {pid}\n")
    return 0


def _run(server: Configured) -> int:
    from pointsman.zeo.server import run  # noqa: PLC0415

    _become_owner_of(server.pid_file.parent)
    run(server)
    return 0


def _become_owner_of(folder: Path) -> None:
    """Stop being root, for good, where the folder belongs to somebody else.

    What root writes there the servers of that user could not read.

    Raises:
        ReleaseError: there is no such folder, or the system does not know its owner.

    """
    try:
        owner = folder.stat().st_uid
    except OSError as error:
        raise ReleaseError(f"{folder}: {error.strerror}") from error
    if os.geteuid() == 0 and owner != 0:
        rights.take(rights.account(str(owner), None))


# STOPPING


def _alive(server: Configured) -> Identity | None:
    recorded = pidfile.read(server.pid_file)
    identity = recorded.identity() if recorded is not None else None
    return identity if identity is not None and identity.alive() else None


def _stop(server: Configured, timeout: float) -> int:
    identity = _alive(server)
    if identity is None:
        message = f"nothing to stop: no server of {server.pid_file} is running"
        raise ReleaseError(message)
    with processes.hold(identity) as handle:
        if handle is not None:
            _end(handle, identity, timeout)
    sys.stdout.write(f"pid {identity.pid} has ended\n")
    return 0


def _end(handle: processes.Handle, identity: Identity, timeout: float) -> None:
    try:
        handle.send(signal.SIGTERM)
    except PermissionError as error:
        message = f"pid {identity.pid} belongs to another user; stop it as that user"
        raise ReleaseError(message) from error
    if not handle.gone(timeout):
        raise ReleaseError(
            f"pid {identity.pid} still runs {timeout:g} s after SIGTERM; see its log, "
            "then kill it yourself"
        )


# ASKING


def _status(server: Configured) -> int:
    from pointsman.zeo import asking  # noqa: PLC0415

    recorded = pidfile.read(server.pid_file)
    if recorded is None:
        sys.stdout.write(f"not running: no server in {server.pid_file}\n")
        return STOPPED
    identity = recorded.identity()
    if identity is None or not identity.alive():
        sys.stdout.write(f"dead: the server of {server.pid_file} was {recorded.pid}\n")
        return UNKNOWN if recorded.doubtful() else DEAD
    told = asking.asked(server, _PATIENCE)
    if told is None:
        sys.stdout.write(f"pid {recorded.pid} does not answer on {server.place}\n")
        return UNKNOWN
    sys.stdout.write(
        f"running: pid {recorded.pid} on {server.place}, for "
        f"{processes.uptime(identity):.0f} s\n"
    )
    for name, storage in told.items():
        sys.stdout.write(
            f"storage {name}: {storage['connections']} connections, "
            f"{storage['commits']} commits, {storage['conflicts']} conflicts\n"
        )
    return RUNS
