"""The one thread of a node that changes what it serves.  Engine.

It takes `reconcile.Reconciler.step` again and again, and between two generations
whatever else is to be done to what serves.
"""

from __future__ import annotations

import logging
import os
import queue
import select
import threading
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pointsman.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.interfaces import Hints

_log = logging.getLogger(__name__)
Result = TypeVar("Result")

#: How often the ledger is asked whether it has changed, in seconds: where hints tell
#: of it, and where none do; while other nodes decide about what is staged here.
HINTED, IDLE, BUSY = 0.25, 0.025, 0.004

#: For how many seconds it is asked that often after a hint, which may come before
#: what it tells of can be seen.
ALERT = 0.05

#: After how many seconds a ledger that cannot be reached is tried again.
AGAIN = 1.0


class Agent:
    """Runs a node's steps in a thread of its own.  Any thread may call.

    After a fork, `start` in the child gives it a thread of its own.
    """

    def __init__(
        self,
        step: Callable[[], float],
        changed: Callable[[], bool],
        busy: Callable[[], bool],
        hints: Callable[[], Hints | None] | None = None,
    ) -> None:
        """Call ``step`` when it asks for it, when ``changed``, and when woken.

        ``busy`` tells that something is staged: then nothing else is done to what
        serves.  ``hints`` is called once, in the thread.
        """
        self._step = step
        self._changed = changed
        self._busy = busy
        self._make_hints = hints
        self._thread: threading.Thread | None = None
        self._alone = threading.RLock()  # held by whoever changes what serves
        self._renew()
        #: Why the ledger cannot be used at this moment; "" while it can.
        self.cut_off = ""

    def _renew(self) -> None:
        self._tasks: queue.SimpleQueue[_Task[Any]] = queue.SimpleQueue()
        self._wake = Bell()
        self._hints: Hints | None = None
        self._alert_until = 0.0
        self._closing = False
        self._pid = os.getpid()

    def _leave_fork(self) -> None:
        """Forget, in a child, the thread, and the lock that it may have held."""
        if self._pid != os.getpid():
            self._thread = None
            self._alone = threading.RLock()
            self._renew()

    @property
    def is_running(self) -> bool:
        """Tell whether its thread runs in this process."""
        return self._thread is not None and self._pid == os.getpid()

    def start(self) -> None:
        """Start the thread, once in each process."""
        self._leave_fork()
        if self.is_running:
            return
        self._renew()
        self._thread = threading.Thread(
            target=self._run, name="pointsman-node", daemon=True
        )
        self._thread.start()

    def wake(self) -> None:
        """Let it look at the ledger at once."""
        self._wake.ring()

    def call(self, work: Callable[[], Result]) -> Result:
        """Do ``work`` when nothing is staged, in the thread; return what it returns.

        Blocks until then.  Without a thread, it is done in the caller's.
        """
        self._leave_fork()
        thread = self._thread
        if not self.is_running or thread is threading.current_thread():
            with self._alone:
                return work()
        task = _Task(work)
        self._tasks.put(task)
        self.wake()
        while not task.done.wait(0.5):
            if thread is None or not thread.is_alive():
                self._run_tasks()
        return task.result()

    def close(self) -> None:
        """End the thread; what was asked before is done."""
        self._closing = True
        self._wake.ring()
        thread = self._thread if self.is_running else None
        if thread is not None and thread is not threading.current_thread():
            thread.join()
            self._wake.close()
        self._thread = None
        self._run_tasks()

    def _run(self) -> None:
        self._hints = self._make_hints() if self._make_hints else None
        try:
            while not self._closing:
                if not self._busy():
                    self._run_tasks()
                delay = self._turn()
                if delay > 0 and not self._closing:
                    self._wait(delay)
        finally:
            if self._hints is not None:
                self._hints.close()

    def _run_tasks(self) -> None:
        while True:
            try:
                task = self._tasks.get_nowait()
            except queue.Empty:
                return
            with self._alone:
                task.run()

    def _turn(self) -> float:
        try:
            with self._alone:
                delay = self._step()
        except LedgerError as error:
            if not self.cut_off:
                _log.error("goes on alone: %s", error)
            self.cut_off = str(error)
            return AGAIN
        except Exception:  # noqa: BLE001 - the top of this thread: it must go on
            _log.exception("an error of pointsman itself")
            return AGAIN
        if self.cut_off:
            _log.info("the ledger can be used again")
            self.cut_off = ""
        return delay

    def _wait(self, delay: float) -> None:
        """Wait for ``delay`` seconds, a change of the ledger, or a call."""
        end = monotonic() + delay
        while not self._closing:
            left = end - monotonic()
            if left <= 0 or self._wake.wait(min(self._pause(), left), self._hints):
                return
            if self._hints is not None and self._hints.take():
                self._alert_until = monotonic() + ALERT
            if not self.cut_off and self._has_changed():
                return

    def _pause(self) -> float:
        if self._busy() or monotonic() < self._alert_until:
            return BUSY
        return IDLE if self._hints is None else HINTED

    def _has_changed(self) -> bool:
        try:
            return self._changed()
        except LedgerError:
            return True  # the next step says what is the matter


class Bell:
    """Wakes one thread that waits.  `ring` from any thread, also after `close`."""

    def __init__(self) -> None:
        """Be silent."""
        self._lock = threading.Lock()  # guards _descriptor
        self._descriptor: int | None = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)

    def ring(self) -> None:
        """Wake who waits; who does not wait now does not wait the next time."""
        with self._lock:
            if self._descriptor is not None:
                os.eventfd_write(self._descriptor, 1)

    def wait(self, seconds: float, hints: Hints | None) -> bool:
        """Wait for a ring, and tell whether there was one; or for a hint."""
        descriptor = self._descriptor
        if descriptor is None:
            return True
        watched = select.poll()
        watched.register(descriptor, select.POLLIN)
        if hints is not None:
            watched.register(hints.descriptor, select.POLLIN)
        watched.poll(seconds * 1000)
        try:
            return os.eventfd_read(descriptor) > 0
        except BlockingIOError:
            return False

    def close(self) -> None:
        """Give the descriptor back; nobody waits any more."""
        with self._lock:
            descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        """Give it back at the latest now."""
        self.close()


class _Task(Generic[Result]):
    def __init__(self, work: Callable[[], Result]) -> None:
        self._work = work
        self._result: Result
        self._error: BaseException | None = None
        self.done = threading.Event()

    def run(self) -> None:
        try:
            self._result = self._work()
        except BaseException as error:  # noqa: BLE001 - it is the caller's
            self._error = error
        self.done.set()

    def result(self) -> Result:
        if self._error is not None:
            raise self._error
        return self._result
