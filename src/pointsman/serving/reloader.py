"""``--reload``: start the server anew when its code changes, without a gap.

Effects.  This process, the supervisor, binds the sockets and never serves.  Each
server is a fresh interpreter that inherits them.  When a file changes, the next
server is started beside the running one; once it has answered a request the old one
drains.  Both accept from the same sockets, so no connection is refused.  A server
that fails to start leaves the old one serving, shows its traceback, and the next
change starts another one.

The supervisor's own state is in this one thread; children report through a pipe,
one JSON object a line: ``files``, ``ready``.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pointsman.errors import ConfigError, ReleaseError
from pointsman.serving import ini, logs, pidfile, sockets
from pointsman.serving.signals import replaced
from pointsman.serving.watching import Watch

if TYPE_CHECKING:
    from types import FrameType

    from pointsman.serving.arguments import Order
    from pointsman.serving.sockets import Listening

_TURN = 0.1
_STOP_MARGIN = 15.0
_BOOT = (
    "import json, sys; handed = json.loads(sys.argv[1]); "
    "sys.path[:] = handed['path']; sys.argv[:] = handed['argv']; "
    "from pointsman.serving.reloaded import main; sys.exit(main(handed))"
)


def supervise(order: Order, words: list[str]) -> int:
    """Run servers until stopped; ``words`` are the command line behind ``serve``.

    Raises:
        Error: the ini or the addresses are wrong already now.

    """
    ini.check(order)
    section = ini.server(order)
    if section.settings is None:
        raise ConfigError(
            f"{order.ini}: --reload needs a server that can take over sockets: "
            "use = egg:pointsman#server"
        )
    if order.user or order.group:
        raise ReleaseError("--reload is for development: leave --user and --group out")
    with ExitStack() as stack:
        if order.log_file is not None:
            logs.redirect(order.log_file)
        if order.pid_file is not None:
            stack.enter_context(pidfile.held(order.pid_file))
        listening = sockets.opened(section.settings)
        for each in listening.sockets:
            stack.callback(each.close)
            each.listen(section.settings.adjustments.backlog)
        supervisor = _Supervisor(order, words, listening)
        patience = section.settings.drain_timeout + _STOP_MARGIN
        return supervisor.run(patience)


@dataclass(slots=True)
class _Child:
    """A server: its process, and the reading end of its reports."""

    process: subprocess.Popen[bytes]
    reader: int
    rest: bytes = b""
    ready: bool = False
    files: set[str] = field(default_factory=set)

    def receive(self) -> None:
        """Take what it has reported."""
        with suppress(BlockingIOError):
            while text := os.read(self.reader, 1 << 16):
                *lines, self.rest = (self.rest + text).split(b"\n")
                for line in lines:
                    said = json.loads(line)
                    self.files.update(said.get("files", ()))
                    self.ready = self.ready or bool(said.get("ready"))

    def alive(self) -> bool:
        return self.process.poll() is None

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)


class _Supervisor:
    def __init__(self, order: Order, words: list[str], listening: Listening) -> None:
        self._order, self._words, self._listening = order, words, listening
        self._signals: queue.SimpleQueue[int] = queue.SimpleQueue()
        path = order.ini_path
        self._watch = Watch([str(path)] if path else [])
        self._current: _Child | None = None
        self._next: _Child | None = None
        self._retired: list[_Child] = []
        self._next_look = 0.0

    def run(self, patience: float) -> int:
        """Look after servers until a signal; then give them time to drain."""

        def note(number: int, _frame: FrameType | None) -> None:
            self._signals.put(number)

        wanted = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)
        with replaced(dict.fromkeys(wanted, note)):
            self._next = self._spawn()
            while not self._stop_asked():
                self._step(time.monotonic())
            return self._drain(patience)

    def _step(self, now: float) -> None:
        """Look once at children and files."""
        for child in self._children():
            child.receive()
            self._watch.add(child.files)
        self._promote()
        self._bury()
        if now >= self._next_look:
            self._next_look = now + self._order.reload_interval
            changed = self._watch.changed()
            if changed:
                _say(f"{', '.join(sorted(changed))} changed: starting anew")
                self._start_next()

    def _promote(self) -> None:
        """Let the next server take over as soon as it has answered."""
        if self._next is None or not self._next.ready:
            return
        if self._current is not None:
            self._current.send(signal.SIGTERM)
            self._retired.append(self._current)
        self._current, self._next = self._next, None
        _say(f"pid {self._current.process.pid} serves; watching its files")

    def _bury(self) -> None:
        for child in [each for each in self._children() if not each.alive()]:
            child.receive()
            self._watch.add(child.files)
            os.close(child.reader)
            if child in self._retired:
                self._retired.remove(child)
            elif child is self._next:
                self._next = None
                still = self._current is not None
                _say(
                    "the new server did not start; "
                    + ("the old one goes on, " if still else "")
                    + "waiting for a change"
                )
            else:
                self._current = None
                _say(
                    f"the server ended with code {child.process.returncode}; "
                    "waiting for a change"
                )

    def _start_next(self) -> None:
        if self._next is not None:
            self._next.send(signal.SIGTERM)
            self._retired.append(self._next)
        self._next = self._spawn()

    def _children(self) -> list[_Child]:
        known = (self._current, self._next, *self._retired)
        return [child for child in known if child is not None]

    def _spawn(self) -> _Child:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        descriptors = [each.fileno() for each in self._listening.sockets]
        handed: dict[str, Any] = {
            "path": sys.path,
            "argv": sys.argv,
            "words": self._words,
            "sockets": descriptors,
            "reports": writer,
        }
        flags = subprocess._args_from_interpreter_flags()  # type: ignore[attr-defined]  # noqa: SLF001 - the only way to pass -W and -X on
        process = subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, *flags, "-c", _BOOT, json.dumps(handed)],
            pass_fds=(*descriptors, writer),
        )
        os.close(writer)
        return _Child(process, reader)

    def _stop_asked(self) -> bool:
        """Wait for a moment; pass signals on, and tell whether one says stop."""
        try:
            number = signal.Signals(self._signals.get(timeout=_TURN))
        except queue.Empty:
            return False
        if number in {signal.SIGTERM, signal.SIGINT}:
            return True
        if number == signal.SIGUSR1 and self._order.log_file is not None:
            logs.redirect(self._order.log_file, anew=True)
        if self._current is not None:
            self._current.send(number)
        return False

    def _drain(self, patience: float) -> int:
        """Stop every server; a second SIGINT is passed on, and is at once."""
        for child in self._children():
            child.send(signal.SIGTERM)
        end = time.monotonic() + patience
        while any(child.alive() for child in self._children()):
            with suppress(queue.Empty):
                if self._signals.get(timeout=_TURN) == signal.SIGINT:
                    self._interrupt()
            if time.monotonic() > end:
                for child in self._children():
                    child.process.kill()
        for child in self._children():
            child.process.wait()
            os.close(child.reader)
        return 0

    def _interrupt(self) -> None:
        # The first SIGINT of ours was SIGTERM for them, unless a terminal sent it
        # to all: two make sure of "at once", more do no harm.
        for child in self._children():
            child.send(signal.SIGINT)
            child.send(signal.SIGINT)


def _say(sentence: str) -> None:
    sys.stderr.write(f"reload: {sentence}\n")
    sys.stderr.flush()
