"""The connections of one process, and what becomes of them at a fork.  Effects.

SQLite keeps the locks of a file per process, in memory that a fork copies although
the locks themselves stay with the parent (https://sqlite.org/howtocorrupt.html,
2.6).  So none is open while this process forks::

    a thread forks             the other threads
    ─────────────────────────  ──────────────────────────────
    shuts the gate             are within a transaction, or wait outside
    waits until nobody is in   leave
    closes all connections
    forks                      wait
    opens the gate             go on, with new connections

A fork that Python does not see (uWSGI forks in C) is noticed by the process id.
What the child has inherited then is neither used nor closed: closing it would write.
"""

from __future__ import annotations

import contextlib
import os
import threading
import weakref
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Closable(Protocol):
    """What is opened once for each process."""

    def close(self) -> None:
        """Let go of it."""
        ...


Opened = TypeVar("Opened", bound=Closable)

#: What was inherited from a parent that forked unseen; kept, so that nothing closes it.
_inherited: list[Any] = []

#: All that there are, by identity; copying it is one step, also while others add.
_all: dict[int, weakref.ref[PerProcess[Any]]] = {}


class _Gate(Generic[Opened]):
    """Counts who is within, for one process; ``opened`` is made by the first."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.opened: Opened | None = None
        self.changed = threading.Condition()  # guards the three fields below
        self.inside = 0
        self.shut = 0  # by so many threads


class PerProcess(Generic[Opened]):
    """Opens something once per process, and has it closed while that forks.

    Any thread.
    """

    def __init__(self, make: Callable[[], Opened], *, patience: float) -> None:
        """Open with ``make``; a fork waits ``patience`` seconds for who is within."""
        self._make = make
        self._patience = patience
        self._gate: _Gate[Opened] = _Gate()
        name = id(self)
        _all[name] = weakref.ref(self, lambda _: _all.pop(name, None))

    @contextlib.contextmanager
    def entered(self) -> Iterator[Opened]:
        """Hold off forks and `close`; do not enter it twice from one thread."""
        gate = self._of_this_process()
        with gate.changed:
            while gate.shut:
                gate.changed.wait()
            if gate.opened is None:
                gate.opened = self._make()
            opened = gate.opened
            gate.inside += 1
        try:
            yield opened
        finally:
            with gate.changed:
                gate.inside -= 1
                if not gate.inside:
                    gate.changed.notify_all()

    def _of_this_process(self) -> _Gate[Opened]:
        gate = self._gate
        if gate.pid != os.getpid():
            _inherited.append(gate)
            gate = self._gate = _Gate()
        return gate

    def close(self) -> None:
        """Close what is open, once nobody is within; it is opened again on demand."""
        self.shut()
        self.reopen()

    def shut(self) -> None:
        """Let nobody in, and close what is open when nobody is within any more."""
        gate = self._of_this_process()
        end = monotonic() + self._patience
        with gate.changed:
            gate.shut += 1
            while gate.inside and monotonic() < end:
                gate.changed.wait(end - monotonic())
            opened = gate.opened
            if gate.inside or opened is None:  # then the process id will tell
                return
            gate.opened = None
            opened.close()

    def reopen(self) -> None:
        """Let everybody in again."""
        gate = self._gate
        with gate.changed:
            gate.shut -= 1
            gate.changed.notify_all()

    def renew(self) -> None:
        """Begin anew in a child that Python has forked."""
        if self._gate.opened is not None:
            _inherited.append(self._gate)
        self._gate = _Gate()


_forking = threading.local()  # what the thread that forks has shut


def _living() -> list[PerProcess[Any]]:
    return [one for one in (ref() for ref in list(_all.values())) if one is not None]


def _before() -> None:
    _forking.shut = _living()
    for one in _forking.shut:
        one.shut()


def _in_parent() -> None:
    for one in _forking.shut:
        one.reopen()
    _forking.shut = []


def _in_child() -> None:
    _forking.shut = []
    for one in _living():
        one.renew()


os.register_at_fork(
    before=_before, after_in_parent=_in_parent, after_in_child=_in_child
)
