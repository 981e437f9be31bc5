"""Whose code is calling: the namespace nearest on the stack.  Effects.

Every module of a namespace carries it in its globals under `MARK`.  Threads carry
it too, from the frame that started them, because the functions that they run may
all be the host's (``pool.map(pickle.loads, blobs)``).
"""

from __future__ import annotations

import builtins
import sys
import threading
from types import FunctionType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

    from pointsman.namespace.space import Namespace

MARK = "__pointsman__"


def nearest() -> Namespace | None:
    """Return the namespace of the nearest marked frame, else of the thread."""
    return next(on_stack(), None)


def on_stack() -> Iterator[Namespace]:
    """Return the namespaces of all marked frames, the nearest first; then the thread's.

    To be read at once, by whom the question is about.
    """
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way
    while frame is not None:
        space: Namespace | None = frame.f_globals.get(MARK)
        if space is not None:
            yield space
        frame = frame.f_back
    started = of_thread(threading.get_ident())
    if started is not None:
        yield started


def of_thread(ident: int) -> Namespace | None:
    """Return the namespace that started this thread, while it is in use."""
    # current_thread() would make a _DummyThread for threads of the server.
    thread = threading._active.get(ident)  # type: ignore[attr-defined]  # noqa: SLF001
    reference = getattr(thread, MARK, None)
    space: Namespace | None = reference() if reference is not None else None
    return None if space is None or space.forgotten else space


def directly(library: str) -> Namespace | None:
    """Return the namespace whose own code calls into ``library``, if one does.

    Frames of ``library`` (a top-level package) and of this project are passed
    over; the next must carry the mark.  So what a host library does while a
    service imports it for the first time stays the host's.
    """
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001
    while frame is not None:
        name = frame.f_globals.get("__name__", "")
        if name.partition(".")[0] not in (library, "pointsman"):
            space: Namespace | None = frame.f_globals.get(MARK)
            return space
        frame = frame.f_back
    return None


def _call(function: Any, *arguments: Any) -> Any:
    return function(*arguments)


def marked(space: Namespace | None) -> Callable[..., Any]:
    """Return a function that calls its first argument from a frame of ``space``.

    A Flask application is an object of the host's library: without this frame
    nothing on the stack would say for which version it works.
    """
    return FunctionType(
        _call.__code__,
        {MARK: space, "__name__": "pointsman.call", "__builtins__": builtins},
    )
