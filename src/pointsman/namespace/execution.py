"""Which package's code a thread is executing for the first time.  Effects.

Whoever waits for a thread that does not come back, or finds a process dead, learns
here whom to blame.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Thread to the packages whose code it is executing for the first time, the
#: innermost last.  Each thread changes its own list only.
executing: dict[int, list[str]] = {}
_announce: list[Callable[[str], object]] = []


def announce(listener: Callable[[str], object]) -> None:
    """Call ``listener`` with the innermost package each time that this changes."""
    _announce.append(listener)


@contextmanager
def execution(package: str) -> Iterator[None]:
    """Say that this thread runs code of ``package`` from here on."""
    stack = executing.setdefault(threading.get_ident(), [])
    stack.append(package)
    for listener in _announce:
        listener(package)
    try:
        yield
    finally:
        stack.pop()
        if not stack:
            del executing[threading.get_ident()]
        for listener in _announce:
            listener(stack[-1] if stack else "")
