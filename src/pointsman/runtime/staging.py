"""Steps of other people's code, in a thread, under a deadline.  Effects."""

from __future__ import annotations

import logging
import os
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.errors import Error, LoadError, StuckError
from pointsman.namespace.execution import executing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    Work = Mapping[str, Callable[[], None]]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Steps:
    """What became of the steps: an error by package, and who has not come back."""

    errors: dict[str, LoadError] = field(default_factory=dict)
    stuck: str = ""
    thread: threading.Thread | None = None


class Stage:
    """Runs the code of packages in a thread of its own.  One caller at a time.

    The thread is kept from one deployment to the next, so that what they allocate
    does not spread over ever new arenas of the C library.
    """

    def __init__(self, deadline: float) -> None:
        """Give each step ``deadline`` seconds; start nothing yet."""
        self._deadline = deadline
        self._worker: _Worker | None = None
        self._pid = 0  # of the process that the worker is in

    def run(self, steps: Work) -> Steps:
        """Run one step per package, in order, each within the deadline.

        A step that fails does not stop the others.  One that does not come back
        does: its thread cannot be ended, so it is left, and named with the package
        whose code it is in; the steps after it are not run.
        """
        found = Steps()
        if not steps:
            return found
        if self._worker is None or self._pid != os.getpid():
            # After a fork that Python knows nothing of (uWSGI's), a thread that
            # stayed behind in the parent still says that it is alive.
            self._worker, self._pid = _Worker(), os.getpid()
            self._worker.start()
        self._worker.tasks.put(steps)
        for name in steps:
            try:
                error = self._worker.ended.get(timeout=self._deadline)
            except queue.Empty:
                self._give_up(name, self._worker, found)
                break
            if error is not None:
                found.errors[name] = error
        return found

    def _give_up(self, name: str, worker: _Worker, found: Steps) -> None:
        self._worker = None
        worker.tasks.put(None)  # it ends if it ever comes back
        worker.left = True
        stack = executing.get(worker.ident or 0) or [name]
        found.stuck, found.thread = stack[-1], worker
        reason = (
            f"did not come back within {self._deadline:g} s in the serving process; it "
            "blocks only itself, until this process is restarted"
        )
        found.errors[found.stuck] = StuckError(found.stuck, reason)

    def close(self) -> None:
        """End the thread."""
        if self._worker is not None and self._pid == os.getpid():
            self._worker.tasks.put(None)
            self._worker.join()
        self._worker = None


class _Worker(threading.Thread):
    """Takes steps, and answers each with its error or None.

    ``left`` is set by who has given it up; it runs no further step then.
    """

    def __init__(self) -> None:
        super().__init__(name="pointsman-load", daemon=True)
        self.tasks: queue.SimpleQueue[Work | None] = queue.SimpleQueue()
        self.ended: queue.SimpleQueue[LoadError | None] = queue.SimpleQueue()
        self.left = False

    def run(self) -> None:
        while self._take():
            pass

    def _take(self) -> bool:  # what it has in its hands must not outlive the task
        steps = self.tasks.get()
        for name, step in (steps or {}).items():
            if not self.left:
                self.ended.put(_failure(name, step))
        return steps is not None


def _failure(name: str, step: Callable[[], None]) -> LoadError | None:
    try:
        step()
    except LoadError as error:
        return error
    except Error as error:
        return LoadError(name, str(error))
    except BaseException as error:  # noqa: BLE001 - the top of the thread
        _log.exception("%s: an error of pointsman itself", name)
        return LoadError(name, f"could not be loaded: {error!r}")
    return None
