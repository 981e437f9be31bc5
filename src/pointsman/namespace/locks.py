"""One lock per module of a namespace, that cannot deadlock.  Effects.

The race that this is for, told as a timeline (the same that CPython's import
system knows, see ``importlib._bootstrap._ModuleLock``)::

    thread 1: imports a, holds a, runs it, wants b
    thread 2: imports b, holds b, runs it, wants a

Whoever would close the circle does not wait: it goes on with the module as far
as it is, just as a circular import in one thread does.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# Guards every ModuleLock's ``owner``, ``depth`` and ``waiting_for``, so that the
# circle can be looked for across all namespaces.  Held for a few statements only.
_graph = threading.Lock()
_waiting_for: dict[int, ModuleLock] = {}


class ModuleLock:
    """A re-entrant lock that refuses to close a circle of waiting.  Any thread."""

    __slots__ = ("_free", "depth", "owner")

    def __init__(self) -> None:
        """Start free."""
        self.owner = 0
        self.depth = 0
        self._free = threading.Condition(_graph)

    @contextmanager
    def hold(self) -> Iterator[bool]:
        """Hold the lock; yield False, without it, where waiting would never end."""
        held = self._acquire()
        try:
            yield held
        finally:
            if held:
                self._release()

    def _acquire(self) -> bool:
        me = threading.get_ident()
        with _graph:
            while self.owner not in (0, me):
                if self._closes_a_circle(me):
                    return False
                _waiting_for[me] = self
                try:
                    self._free.wait()
                finally:
                    del _waiting_for[me]
            self.owner = me
            self.depth += 1
            return True

    def _closes_a_circle(self, me: int) -> bool:
        lock: ModuleLock | None = self
        seen = set()
        while lock is not None and lock.owner and lock.owner not in seen:
            if lock.owner == me:
                return True
            seen.add(lock.owner)
            lock = _waiting_for.get(lock.owner)
        return False

    def _release(self) -> None:
        with _graph:
            self.depth -= 1
            if not self.depth:
                self.owner = 0
                self._free.notify()
