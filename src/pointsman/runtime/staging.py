"""Steps of other people's code, in a thread, under a deadline.  Effects."""

from __future__ import annotations

import logging
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pointsman.errors import Error, LoadError, StuckError
from pointsman.namespace.execution import executing

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Steps:
    """What became of the steps: an error by package, and who has not come back."""

    errors: dict[str, LoadError] = field(default_factory=dict)
    stuck: str = ""
    thread: threading.Thread | None = None


def run(steps: Mapping[str, Callable[[], None]], deadline: float) -> Steps:
    """Run one step per package, in order, each within ``deadline`` seconds.

    A step that fails does not stop the others.  One that does not come back does:
    its thread cannot be ended, so it is left, and named with the package whose
    code it is in; the steps after it are not run.
    """
    if not steps:
        return Steps()
    ended: queue.SimpleQueue[tuple[str, LoadError | None]] = queue.SimpleQueue()

    def work() -> None:
        for name, step in steps.items():
            ended.put((name, _failure(name, step)))

    thread = threading.Thread(target=work, name="pointsman-load", daemon=True)
    thread.start()
    found = Steps()
    for name in steps:
        try:
            _, error = ended.get(timeout=deadline)
        except queue.Empty:
            stack = executing.get(thread.ident or 0) or [name]
            found.stuck, found.thread = stack[-1], thread
            reason = (
                f"did not come back within {deadline:g} s in the serving process; it "
                "blocks only itself, until this process is restarted"
            )
            found.errors[found.stuck] = StuckError(found.stuck, reason)
            return found
        if error is not None:
            found.errors[name] = error
    thread.join()
    return found


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
