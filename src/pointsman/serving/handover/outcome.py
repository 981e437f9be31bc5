"""What a switch is asked for, goes through and comes to.  Values.

They cross the desk's socket as JSON objects; unknown keys are left alone, so that
releases of different ages understand each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

#: For how many seconds a successor may start, serve on probation, and be silent.
READY_TIMEOUT, PROBATION, HANG_TIMEOUT = 120.0, 30.0, 10.0


class Result(StrEnum):
    """How a switch ended."""

    COMMITTED = "committed"  # the successor serves, and the pid file names it
    TAKEN_BACK = "taken back"  # it served and failed; the incumbent serves again
    NOT_READY = "not ready"  # it never answered a client; nothing has changed


@dataclass(frozen=True, slots=True)
class Plan:
    """What to start, and how long to look at it.

    ``argv`` is the successor's command line, in full; ``env`` its whole environment
    (None: the incumbent's); ``cwd`` its folder (None: the incumbent's).
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] | None = None
    cwd: str | None = None
    probation: float = PROBATION
    ready_timeout: float = READY_TIMEOUT
    hang_timeout: float = HANG_TIMEOUT

    def question(self) -> dict[str, Any]:
        """Return what to ask the incumbent's desk."""
        return {
            "ask": "switch",
            "argv": list(self.argv),
            "env": None if self.env is None else dict(self.env),
            "cwd": self.cwd,
            "probation": self.probation,
            "ready_timeout": self.ready_timeout,
            "hang_timeout": self.hang_timeout,
        }

    @classmethod
    def asked(cls, question: Mapping[str, Any]) -> Self:
        """Read the question.

        Raises:
            ValueError: it makes no sense.

        """
        argv, env = question.get("argv"), question.get("env")
        if not isinstance(argv, list) or not argv or not _texts(argv):
            raise ValueError("argv must be a list of texts, the program first")
        if env is not None and not (isinstance(env, dict) and _texts(env.values())):
            raise ValueError("env must be an object of texts")
        cwd = question.get("cwd")
        return cls(
            tuple(argv),
            env,
            None if cwd is None else str(cwd),
            _seconds(question, "probation", PROBATION),
            _seconds(question, "ready_timeout", READY_TIMEOUT),
            _seconds(question, "hang_timeout", HANG_TIMEOUT),
        )


def _texts(values: Any) -> bool:
    return all(isinstance(value, str) for value in values)


def _seconds(question: Mapping[str, Any], key: str, default: float) -> float:
    number = float(question.get(key, default))
    if not 0 <= number < float("inf"):
        raise ValueError(f"{key} must be a number of seconds, 0 or more")
    return number


@dataclass(frozen=True, slots=True)
class Step:
    """One line of progress.

    ``name`` is, in this order: ``started`` (``details``: ``pid``), ``ready``
    (``release``, ``tree``, ``seconds``: how long it took), ``probation``
    (``seconds``: how long it will take).  What comes then is the outcome; a
    successor that is taken back and still answers what it has begun is told by
    ``answering again`` (``reason``) before.
    """

    name: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a switch has come to.

    ``pid``, ``release`` and ``tree`` are the successor's, 0 and "" as far as it did
    not get so far.  ``reason`` is a sentence, "" when committed; ``traceback`` the
    one of its application when that failed; ``signal`` names what killed it
    (``SIGSEGV``).  ``lost`` counts the requests that were in flight on it when it
    died, ``idle`` the keep-alive connections that were waiting for their next one: if
    it was being sent at that moment, it is lost as well.  Nobody else's is.
    """

    result: Result
    pid: int = 0
    release: str = ""
    tree: str = ""
    reason: str = ""
    traceback: str = ""
    signal: str = ""
    lost: int = 0
    idle: int = 0

    @property
    def committed(self) -> bool:
        """Tell whether the successor serves for good."""
        return self.result is Result.COMMITTED

    def line(self) -> dict[str, Any]:
        """Return the last line of the progress."""
        return {
            "step": self.result.value,
            "pid": self.pid,
            "release": self.release,
            "tree": self.tree,
            "reason": self.reason,
            "traceback": self.traceback,
            "signal": self.signal,
            "lost": self.lost,
            "idle": self.idle,
        }

    @classmethod
    def told(cls, line: Mapping[str, Any]) -> Self:
        """Read the last line."""
        return cls(
            Result(line["step"]),
            int(line.get("pid", 0)),
            str(line.get("release", "")),
            str(line.get("tree", "")),
            str(line.get("reason", "")),
            str(line.get("traceback", "")),
            str(line.get("signal", "")),
            int(line.get("lost", 0)),
            int(line.get("idle", 0)),
        )


@dataclass(frozen=True, slots=True)
class Serving:
    """Who serves with a pid file, as told by the server itself.

    ``tree`` is the folder that its code runs from; ``switching`` is the name of the
    step that a switch is at, "" without one, and ``successor`` then who is to take
    over (pid); ``can_switch`` whether it has sockets to hand over and nobody has them
    yet.  ``argv`` is how it was started, ``cwd`` where, and ``user`` (a uid)
    as whom it serves.
    """

    pid: int
    release: str
    tree: str
    state: str
    addresses: tuple[str, ...]
    uptime: float
    in_flight: int
    ready: bool
    argv: tuple[str, ...]
    cwd: Path
    user: int
    group: int
    can_switch: bool = False
    switching: str = ""
    successor: int = 0
    last: Outcome | None = None
