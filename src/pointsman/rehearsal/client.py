"""The serving process's end of a rehearsal.  Effects."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman import tracebacks
from pointsman.errors import ReleaseError
from pointsman.rehearsal import wire
from pointsman.rehearsal.child import describe
from pointsman.rehearsal.helper import THREADED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pointsman.rehearsal.child import Described
    from pointsman.runtime.inprocess import Loaded

_log = logging.getLogger(__name__)

_START = """
import sys, json
sys.path[:] = json.loads(sys.argv[2])
from pointsman.rehearsal.helper import main
main(int(sys.argv[1]))
"""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one package must not be loaded into the serving process."""

    reason: str
    traceback: str = ""


@dataclass(slots=True)
class Rehearsed:
    """What a rehearsal has shown, by package.

    ``untried`` are those that came after one that ended the child.
    """

    failures: dict[str, Failure] = field(default_factory=dict)
    codes: dict[str, dict[str, bytes]] = field(default_factory=dict)
    imports: dict[str, frozenset[str]] = field(default_factory=dict)
    untried: tuple[str, ...] = ()
    host_modules: tuple[str, ...] = ()


class Rehearsal:
    """Runs new code elsewhere first.  One thread at a time.

    The helper is started when it is first needed, and again when it is gone; it
    does not survive this object.  After a fork of the serving process, each side
    has a helper of its own.
    """

    def __init__(
        self,
        hello: Mapping[str, Any],
        *,
        deadline: float,
        memory: int,
    ) -> None:
        """Take what services are given; deadline in seconds, memory in bytes."""
        self._hello = dict(hello)
        self._deadline = deadline
        self._memory = memory
        self._world: dict[str, Described] = {}
        self._warm: list[str] = []
        self._cold: set[str] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._connection: socket.socket | None = None
        self._pid = 0

    def run(
        self, staged: Mapping[str, Loaded], load: Iterable[str], drop: Iterable[str]
    ) -> Rehearsed:
        """Try to load those of ``staged`` that ``load`` names, in that order.

        The others of ``staged`` are there to be imported from, instead of what is
        active; ``drop`` is not there.  Blocks for at most the deadline per package.
        What one package does to the child is its own failure and nobody else's.

        Raises:
            ReleaseError: no helper can be started.

        """
        names = list(load)
        task = {
            "do": "try",
            "put": [describe(one) for one in staged.values()],
            "drop": list(drop),
            "load": names,
            "deadline": self._deadline,
            "memory": self._memory,
            "sys_path": sys.path,
        }
        return _rehearsed(self._ask(task), staged, names)

    def activated(self, put: Iterable[Loaded], drop: Iterable[str]) -> None:
        """Tell the helper what serves from now on."""
        described = {one.package.name: describe(one) for one in put}
        dropped = list(drop)
        for name in dropped:
            self._world.pop(name, None)
        self._world.update(described)
        if self._process is not None:
            message = {"do": "world", "put": list(described.values()), "drop": dropped}
            self._tell(message)

    def warm(self, modules: Iterable[str]) -> None:
        """Let the helper import modules of the host that children needed."""
        self._warm = [name for name in modules if name not in self._cold]
        if self._warm and self._process is not None:
            self._tell({"do": "warm", "modules": self._warm})

    def close(self) -> None:
        """End the helper; it is gone when this returns."""
        if self._connection is not None:
            self._connection.close()
        if self._process is not None and self._pid == os.getpid():
            self._process.wait()
        self._process = self._connection = None

    def _ask(self, task: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, bytes]]:
        for _ in range(2):  # the helper may have ended after the last task
            self._ensure()
            if self._connection is None:  # pragma: no cover - for the type
                break
            with contextlib.suppress(OSError):
                wire.send(self._connection, task)
                answer = wire.receive(self._connection)
                if answer is not None:
                    return answer
            self._bury()
        message = "the helper process that rehearses new code ends at once; see its log"
        raise ReleaseError(message)

    def _tell(self, message: Mapping[str, Any]) -> None:
        if self._pid != os.getpid() or self._connection is None:
            return
        with contextlib.suppress(OSError):  # it is started again when it is needed
            wire.send(self._connection, message)

    def _ensure(self) -> None:
        if self._process is not None and self._pid == os.getpid():
            return
        ours, theirs = socket.socketpair()
        with theirs:
            number = theirs.fileno()
            try:
                self._process = subprocess.Popen(  # noqa: S603 - our own code
                    [executable(), "-c", _START, str(number), _path()],
                    stdin=subprocess.DEVNULL,
                    pass_fds=(number,),
                )
            except OSError as error:
                ours.close()
                message = f"cannot start the helper for rehearsals: {error}"
                raise ReleaseError(message) from error
        self._connection, self._pid = ours, os.getpid()
        self._tell({"do": "hello", **self._hello})
        self._tell({"do": "world", "put": list(self._world.values()), "drop": []})

    def _bury(self) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._process is not None and self._process.wait() == THREADED:
            _log.info("not imported ahead any more: %s", ", ".join(self._warm))
            self._cold.update(self._warm)
        self._process = self._connection = None


def _rehearsed(
    answer: tuple[dict[str, Any], dict[str, bytes]],
    staged: Mapping[str, Loaded],
    names: list[str],
) -> Rehearsed:
    message, blobs = answer
    found = Rehearsed(host_modules=tuple(message["host_modules"]))
    for name, result in message["results"].items():
        if result["failure"] is not None:
            found.failures[name] = Failure(**result["failure"])
        else:
            found.imports[name] = frozenset(result["imports"])
            found.codes[name] = {}
    for key, code in blobs.items():
        name, _, module = key.partition("/")
        found.codes[name][module] = code
    if message["how"]:
        culprit = message["ended_in"]
        origins = {r: o for one in staged.values() for r, o in one.origins.items()}
        where = tracebacks.crash(message["output"], origins)
        found.failures[culprit] = Failure(message["how"], where)
    tried = found.failures.keys() | found.codes.keys()
    found.untried = tuple(name for name in names if name not in tried)
    return found


def _path() -> str:
    return json.dumps([str(Path(entry).absolute()) for entry in sys.path])


def executable() -> str:
    """Return the Python to start; inside of uWSGI or Apache, `sys.executable` lies."""
    version = sysconfig.get_python_version()
    bin_ = "bin"
    for candidate in (
        Path(sys.executable or "/nothing"),
        Path(sys.prefix, bin_, f"python{version}"),
        Path(sys.base_prefix, bin_, f"python{version}"),
        Path(sys.base_prefix, bin_, "python3"),
    ):
        if candidate.name.startswith("python") and candidate.is_file():
            return str(candidate)
    message = f"no python{version} below {sys.prefix} or {sys.base_prefix}"
    raise ReleaseError(message)
