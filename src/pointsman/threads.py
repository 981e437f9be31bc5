"""What each thread of this process is doing, and for which service.  Effects.

Costs requests nothing: everything is read from the stacks when somebody asks.
"""

from __future__ import annotations

import linecache
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pointsman import tracebacks
from pointsman.bodies import PinnedBody
from pointsman.namespace import callers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import FrameType

    from pointsman.namespace.space import Namespace

_OURS = str(Path(__file__).parent)
_NEXT = PinnedBody.__next__.__code__


def stacks() -> list[dict[str, Any]]:
    """Return all threads, those that work for a service first.  Any thread.

    Each is a JSON object: ``name``, ``ident``, ``native_id`` (as ``top -H`` shows
    it) and ``daemon``, the last two None where Python has not made the thread;
    ``package`` and ``digest`` of the version whose code it runs or that has started
    it, ``service`` and ``request`` while it answers one, all "" where there is none;
    ``stack`` as text, the latest call last, in which the frames of this program are
    marked.  No frame and nothing in it is held afterwards.
    """
    linecache.checkcache()
    frames: dict[int, Any] = sys._current_frames()  # noqa: SLF001 - the only way
    try:
        found = [_told(ident, frames.pop(ident)) for ident in list(frames)]
    finally:
        frames.clear()  # one of them is this function's own: a cycle
    return sorted(found, key=lambda one: (not one["package"], one["name"]))


def _told(ident: int, frame: FrameType) -> dict[str, Any]:
    thread = threading._active.get(ident)  # type: ignore[attr-defined]  # noqa: SLF001
    spaces = [space for one in _outwards(frame) if (space := _space(one)) is not None]
    starter = callers.of_thread(ident)
    if starter is not None:
        spaces.append(starter)
    package = spaces[0].package if spaces else None
    service, request = _answering(frame)
    return {
        "name": thread.name if thread is not None else f"thread {ident}",
        "ident": ident,
        "native_id": getattr(thread, "native_id", None),
        "daemon": getattr(thread, "daemon", None),
        "package": package.name if package is not None else "",
        "digest": package.artifact.digest if package is not None else "",
        "service": service,
        "request": request,
        "stack": _text(frame, spaces),
    }


def _outwards(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        yield frame
        frame = frame.f_back


def _space(frame: FrameType) -> Namespace | None:
    space: Namespace | None = frame.f_globals.get(callers.MARK)
    return space


def _answering(frame: FrameType) -> tuple[str, str]:
    """Return the service and the request, from the frames that call services."""
    for one in _outwards(frame):
        scope = one.f_globals
        if scope.get("__name__") == "pointsman.call" and "service" in scope:
            streams = one.f_back is not None and one.f_back.f_code is _NEXT
            return scope["service"], _streamed(one.f_back) if streams else _asked(one)
    return "", ""


def _asked(call: FrameType) -> str:
    environ = _variable(call, "environ")
    if not isinstance(environ, dict):
        return ""
    path = f"{environ.get('SCRIPT_NAME', '')}{environ.get('PATH_INFO', '')}"
    return _readable(f"{environ.get('REQUEST_METHOD', '')} {path}")


def _streamed(step: FrameType | None) -> str:
    body = _variable(step, "self") if step is not None else None
    return _readable(body.path) if isinstance(body, PinnedBody) else ""


def _readable(path: str) -> str:
    """Return bytes as WSGI has them (PEP 3333) as the text that they are."""
    return path.encode("latin-1", "replace").decode("utf-8", "replace").strip()


def _variable(frame: FrameType, name: str) -> object:
    """Return a variable of one of our own functions."""
    variables: Any = frame.f_locals
    value: object = variables.get(name)
    if isinstance(variables, dict):
        variables.clear()  # before 3.13 the frame would keep them, and what they hold
    return value


def _text(frame: FrameType, spaces: list[Namespace]) -> str:
    summary = _Marked.extract(
        [(one, one.f_lineno) for one in reversed(list(_outwards(frame)))]
    )
    origins = {
        str(space.root): space.package.artifact.origin
        for nearest in spaces
        for space in nearest.reach()
    }
    return tracebacks.known_as("".join(summary.format()), origins)


class _Marked(traceback.StackSummary):
    """Tells the frames of this program from all others."""

    def format_frame_summary(
        self, frame_summary: traceback.FrameSummary, **options: Any
    ) -> str:
        told = super().format_frame_summary(frame_summary, **options)
        if not frame_summary.filename.startswith(_OURS):
            return told
        return told.replace("  File ", "  [pointsman] File ", 1)
