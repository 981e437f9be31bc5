"""SIGHUP, SIGUSR1, and the stops that come before the server runs.

Effects.  A handler puts a word into a queue that is safe in handlers
(``queue.SimpleQueue``) and returns; a thread does the work.  So a reload never runs
in the loop's thread, and two HUPs in a row are one reload after the other.
"""

from __future__ import annotations

import logging
import queue
import signal
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pointsman.errors import Error
from pointsman.serving import logs, nodes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType

    PassOn = Callable[[int], None]
    Handler = Callable[[int, FrameType | None], object]

log = logging.getLogger(__name__)


class Stopped(BaseException):
    """SIGTERM or SIGINT came before there was a server to drain."""

    def __init__(self, number: int) -> None:
        """Remember which signal it was."""
        super().__init__(number)
        self.number = number


@dataclass(slots=True)
class Handling:
    """How signals are handled; ``also`` is called with each SIGHUP and SIGUSR1."""

    also: list[PassOn] = field(default_factory=list)
    drains: bool = False

    def drain(self) -> None:
        """Know that the end has begun; any thread."""
        self.drains = True

    def stop(self, number: int, _frame: FrameType | None) -> None:
        """End what has not begun.  What ends in good order is not cut by SIGTERM."""
        if number != signal.SIGTERM or not self.drains:
            raise Stopped(number)


@contextmanager
def handled(log_file: Path | None) -> Iterator[Handling]:
    """Handle the signals of a serving process; main thread.

    SIGTERM and SIGINT raise :class:`Stopped` in the main thread, until the runner takes
    them over; after it, SIGTERM changes nothing any more.
    """
    words: queue.SimpleQueue[int] = queue.SimpleQueue()
    handling = Handling()
    worker = threading.Thread(
        target=_work, args=(words, log_file, handling.also), name="signals", daemon=True
    )

    def note(number: int, _frame: FrameType | None) -> None:
        words.put(number)

    with replaced(
        {
            signal.SIGTERM: handling.stop,
            signal.SIGINT: handling.stop,
            signal.SIGHUP: note,
            signal.SIGUSR1: note,
        }
    ):
        worker.start()
        try:
            yield handling
        finally:
            words.put(0)


@contextmanager
def replaced(handlers: dict[signal.Signals, Handler]) -> Iterator[None]:
    """Install handlers, and put the former ones back in reverse order."""
    former: list[tuple[signal.Signals, Any]] = []
    try:
        for number, handler in handlers.items():
            former.append((number, signal.signal(number, handler)))
        yield
    finally:
        for number, handler in reversed(former):
            signal.signal(number, handler)


def _work(
    words: queue.SimpleQueue[int], log_file: Path | None, also: list[PassOn]
) -> None:
    while number := words.get():
        try:
            for pass_on in also:
                pass_on(number)
            if number == signal.SIGHUP:
                log.info("SIGHUP: reloading")
                nodes.reload_all()
            else:
                _reopen(log_file)
        except Exception:
            log.exception("work for signal %d failed", number)


def _reopen(log_file: Path | None) -> None:
    if log_file is None:
        log.info("SIGUSR1: there is no log file to open anew")
        return
    try:
        logs.redirect(log_file, anew=True)
    except Error as error:
        log.error("SIGUSR1: %s", error)  # noqa: TRY400 - a sentence says it
        return
    log.info("SIGUSR1: this log file was opened anew")
