"""Asking a running server to hand over.  Effects on another process; any thread.

The server is found by its pid file, and asked over the socket beside it.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman.errors import ReleaseError
from pointsman.serving import pidfile, status
from pointsman.serving.handover.outcome import (
    HANG_TIMEOUT,
    PROBATION,
    READY_TIMEOUT,
    Outcome,
    Plan,
    Result,
    Serving,
    Step,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from pointsman.serving.status import Line

# What may still happen behind the last deadline of the incumbent.
_MARGIN = 60.0
_RESULTS = frozenset(result.value for result in Result)


def switch(
    pid_file: Path,
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    probation: float = PROBATION,
    ready_timeout: float = READY_TIMEOUT,
    hang_timeout: float = HANG_TIMEOUT,
    on_step: Callable[[Step], object] = lambda _step: None,
) -> Outcome:
    """Let the server with this pid file hand over to ``argv``; blocks until decided.

    The successor is a child of the running server, serves from the same sockets as
    the same user, and is looked at for ``probation`` seconds before it is committed
    (:func:`commit` and :func:`take_back` decide earlier).  ``env`` is its whole
    environment, None the running server's.  ``on_step`` is called in this thread.
    Should this process die meanwhile, the two servers go on as planned.

    Raises:
        ReleaseError: nobody serves there, another switch is under way, it is not
            allowed, or the running server has died (then ask :func:`current`).

    """
    folder = str(cwd) if cwd else None
    plan = Plan(
        tuple(map(str, argv)), env, folder, probation, ready_timeout, hang_timeout
    )
    with _line(pid_file) as line:
        line.wait_at_most(ready_timeout + probation + hang_timeout + _MARGIN)
        line.say(plan.question())
        while (said := line.next()).get("step") not in _RESULTS:
            _refused(pid_file, said)
            name = str(said.pop("step"))
            on_step(Step(name, said))
        return Outcome.told(said)


def commit(pid_file: Path) -> None:
    """End the probation now, in favour of the successor; returns at once.

    Raises:
        ReleaseError: nobody serves there, or nobody is on probation.

    """
    _tell(pid_file, {"ask": "commit"})


def take_back(pid_file: Path, reason: str) -> None:
    """End the switch now, in favour of the incumbent; returns at once.

    Raises:
        ReleaseError: nobody serves there, or no switch is under way.

    """
    _tell(pid_file, {"ask": "take back", "reason": reason})


def current(pid_file: Path) -> Serving | None:
    """Return who serves with this pid file; None when nobody does.

    Raises:
        ReleaseError: somebody does, and cannot be asked.

    """
    recorded = pidfile.read(pid_file)
    if recorded is None or not recorded.alive():
        return None
    with status.reached(pid_file) as line:
        told = line.ask("status") if line else {}
    if told:
        return _serving(told)
    now = pidfile.read(pid_file)
    if now is not None and now != recorded:  # it was committed meanwhile
        return current(pid_file)
    if not recorded.alive():
        return None
    raise ReleaseError(
        f"pid {recorded.pid} of {pid_file} runs, and does not answer on "
        f"{status.path_beside(pid_file)}; ask as its user or as root, see its log"
    )


def _serving(told: Mapping[str, Any]) -> Serving:
    switch_ = told.get("switch") or {}
    last = told.get("last_switch")
    return Serving(
        pid=told["pid"],
        release=told["release"],
        tree=told["tree"],
        state=told["state"],
        addresses=tuple(told["addresses"]),
        uptime=told["uptime"],
        in_flight=told["in_flight"],
        ready=bool(told.get("ready", True)),
        argv=tuple(told.get("argv", ())),
        cwd=Path(told.get("cwd", "/")),
        user=int(told.get("user", -1)),
        group=int(told.get("group", -1)),
        can_switch=bool(told.get("can_switch")) and not switch_,
        switching=str(switch_.get("step", "")),
        successor=int(switch_.get("pid", 0)),
        last=Outcome.told(last) if last else None,
    )


def _tell(pid_file: Path, question: dict[str, Any]) -> None:
    with _line(pid_file) as line:
        line.say(question)
        _refused(pid_file, line.next(), key="noted")


@contextmanager
def _line(pid_file: Path) -> Iterator[Line]:
    recorded = pidfile.read(pid_file)
    if recorded is None or not recorded.alive():
        who = f" (pid {recorded.pid} is gone)" if recorded else ""
        raise ReleaseError(f"no server runs with the pid file {pid_file}{who}")
    with status.reached(pid_file) as line:
        if line is None:
            raise ReleaseError(
                f"pid {recorded.pid} of {pid_file} does not answer on "
                f"{status.path_beside(pid_file)}: ask as its user or as root"
            )
        yield line


def _refused(pid_file: Path, said: dict[str, Any], key: str = "step") -> None:
    """Raise what the server said instead of going on."""
    if "error" in said:
        raise ReleaseError(f"{pid_file}: {said['error']}")
    if key not in said:
        raise ReleaseError(
            f"{pid_file}: the server has fallen silent in the middle of it; see its "
            "log, and `paster serve --status` for who serves now"
        )
