"""A server that was started by the one that it shall replace.  Engine.

The successor has one thread for what its incumbent says.  When the incumbent dies
before it has committed, the successor is in charge at once, ready or not: somebody
must be found where the pid file points, and the sockets are here.  After the commit
it sees to it that the former server ends within its time.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pointsman
from pointsman.errors import ReleaseError
from pointsman.serving import nodes, office, processes, register, status, tally
from pointsman.serving.handover import inheritance, probe, wire
from pointsman.serving.handover.health import Health
from pointsman.serving.notify import Notifier
from pointsman.serving.processes import Identity

if TYPE_CHECKING:
    import mmap
    from collections.abc import Iterator, MutableMapping

    from pointsman.serving.arguments import Order
    from pointsman.serving.office import Office
    from pointsman.serving.server import Server
    from pointsman.serving.settings import ServerSettings
    from pointsman.serving.sockets import Listening

log = logging.getLogger(__name__)
# How often a successor on probation looks whether somebody stops it.
_TURN = 0.05
_PAUSE = 0.05
# How long an incumbent that has started us may take to say what it hands over.
_GREETING = 10.0
# A dying process hangs up before it is dead.
_LAST_BREATH = 5.0
# What a former server may need beyond its drain.
_MARGIN = 20.0


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What the incumbent has handed over, and who it is.

    ``hang_timeout`` is how long it waits for an answer of ours, ``drain_timeout``
    how long its own drain may take.
    """

    incumbent: Identity
    pid_file: Path
    origin: str
    notifier: Notifier
    drain_timeout: float
    hang_timeout: float
    page: mmap.mmap
    file: int
    desk: socket.socket
    sockets: tuple[socket.socket, ...]


def inherited(environ: MutableMapping[str, str]) -> Successor | None:
    """Return the successor that this process is; None when nobody hands over to it.

    Raises:
        ReleaseError: whoever started us hands over nothing.

    """
    number = environ.pop(wire.VARIABLE, "")
    if not number:
        return None
    try:
        line = wire.Wire(socket.socket(fileno=int(number)))
    except (OSError, ValueError):
        log.warning("%s=%s is no socket; it is ignored", wire.VARIABLE, number)
        return None
    os.set_inheritable(line.fileno(), False)  # noqa: FBT003 - no keyword
    received = line.receive(_GREETING)
    if not received or received[0].get("do") != "inherit":
        raise ReleaseError("the server that started this one hands nothing over")
    return Successor(line, _inheritance(*received))


def _inheritance(said: dict[str, Any], descriptors: Any) -> Inheritance:
    page, file, desk, *sockets = descriptors
    return Inheritance(
        incumbent=Identity(int(said["pid"]), int(said["start"])),
        pid_file=Path(said["pid_file"]),
        origin=str(said["origin"]),
        notifier=Notifier(str(said["notify"])),
        drain_timeout=float(said["drain_timeout"]),
        hang_timeout=float(said["hang_timeout"]),
        page=tally.mapped(page),
        file=file,
        desk=socket.socket(fileno=desk),
        sockets=tuple(socket.socket(fileno=each) for each in sockets),
    )


class Successor:
    """This process, while it is not (yet) in charge.

    The main thread calls :meth:`office`, :meth:`listening` and :meth:`fail`; the rest
    happens in the threads of :meth:`office`.
    """

    def __init__(self, line: wire.Wire, has: Inheritance) -> None:
        """Say who we are; nothing is taken over yet."""
        self._line, self._has = line, has
        self.notifier = has.notifier
        self._office: Office | None = None
        self._kept: tuple[int, ...] = ()
        self._prober: probe.Prober | None = None
        self._lock = threading.Lock()  # guards _in_charge and _proven
        self._in_charge = False
        self._proven = False
        self._over = threading.Event()
        line.say(
            said="loading",
            pid=os.getpid(),
            release=pointsman.__version__,
            tree=status.tree(),
        )

    # -- the main thread

    def check(self, order: Order) -> None:
        """Refuse a command line that does not continue the incumbent's.

        Raises:
            ReleaseError: it names another pid file.

        """
        if order.pid_file is not None and not _same(order.pid_file, self._has):
            raise ReleaseError(
                f"the running server has the pid file {self._has.pid_file}, this one "
                f"is to have {order.pid_file}: they must be the same"
            )

    @contextmanager
    def office(self) -> Iterator[Office]:
        """Have what the incumbent shall leave to us, and listen to what it says.

        Raises:
            ReleaseError: two servers have the pid file.

        """
        has = self._has
        with ExitStack() as stack:
            self._office = stack.enter_context(
                office.handed(has.pid_file, has.file, has.desk)
            )
            threading.Thread(target=self._listen, name="handover", daemon=True).start()
            try:
                yield self._office
            finally:
                self._over.set()

    def listening(self, settings: ServerSettings) -> Listening:
        """Return the sockets that the settings want, most of them the incumbent's.

        Raises:
            ReleaseError: an address cannot be had.

        """
        self._kept, listening = inheritance.matched(
            settings, self._has.sockets, self._has.origin
        )
        return listening

    def prove(self) -> None:
        """Tell the incumbent that we are ready, as soon as we are; a thread's work."""
        server = None
        while server is None and not self._over.is_set():
            server = register.awaited(_PAUSE)
        if server is None:
            return
        server.count_on(self._has.page)
        answered = 0
        while not self._over.is_set() and (nodes.unready() or not answered):
            answered = answered or probe.status_of(server, self._has.hang_timeout)
            self._over.wait(0 if answered and not nodes.unready() else _PAUSE)
        with self._lock:
            self._proven = True
            alone = self._in_charge
        if alone:
            self._serve_alone(server)
        self._line.say(
            said="ready",
            status=answered,
            kept=self._kept,
            drain_timeout=server.settings.drain_timeout,
        )

    def fail(self, reason: str, trace: str = "") -> None:
        """Tell the incumbent why we cannot serve."""
        self._line.say(said="failed", reason=reason, trace=trace)

    def end(self, unanswered: int) -> None:
        """Tell the incumbent, if it is there, how our end went."""
        self._line.say(said="ended", unanswered=unanswered)

    # -- the thread that listens

    def _listen(self) -> None:
        try:
            with processes.hold(self._has.incumbent) as handle:
                self._obey(handle)
                if handle is not None and self._in_charge:
                    self._bury(handle)
        except Exception:
            log.exception("hand-over: an error of pointsman itself")

    def _obey(self, handle: processes.Handle | None) -> None:
        """Do what the incumbent says, until we are in charge."""
        stopping = False
        while not self._in_charge and not self._over.is_set():
            received = self._line.receive(_TURN)
            if handle is None or handle.gone(0 if received else _LAST_BREATH):
                self._be_orphaned()
                return
            if received is None:
                log.error("the server that was to hand over has hung up: this one ends")
                os.kill(os.getpid(), signal.SIGTERM)
                return
            self._do(str(received[0].get("do", "")))
            server = register.current()
            if server is not None and server.draining and not stopping:
                stopping = self._line.say(said="stopping")

    def _do(self, word: str) -> None:
        server = register.current()
        if server is None or not word:
            return
        if word == "serve":
            self._prober = probe.Prober(server, 2 * self._has.hang_timeout)
            self._prober.start()
            server.resume()
            self._line.say(said="serving")
        elif word == "report":
            self._line.say(said="health", **self._health().words())
        elif word == "stand by":
            server.stand_by(0)
        elif word == "commit":
            self._take_over(server)
            self._line.say(said="committed")

    def _health(self) -> Health:
        prober = self._prober
        return Health(
            nodes.unready(),
            prober.waiting if prober else 0.0,
            prober.broken if prober else 0,
        )

    def _take_over(self, server: Server) -> None:
        """Be in charge; the incumbent has fallen silent, or is dead."""
        if self._prober is not None:
            self._prober.stop()
        server.count_on(None)
        if self._has.origin == inheritance.BOUND:
            server.share(())
        with self._lock:
            self._in_charge = True
        if self._office is not None:
            self._office.open()

    def _be_orphaned(self) -> None:
        """Go on alone: the incumbent has died without a word."""
        server = register.current()
        if server is not None and server.draining:
            return
        log.warning(
            "the server that was to hand over (pid %d) is dead: this one is in charge",
            self._has.incumbent.pid,
        )
        if server is None:
            with self._lock:
                self._in_charge = True
            if self._office is not None:
                self._office.open()
            return
        self._take_over(server)
        with self._lock:
            proven = self._proven
        if proven:
            server.resume()

    def _serve_alone(self, server: Server) -> None:
        """Serve although nobody asks for it: there is nobody else."""
        if self._has.origin == inheritance.BOUND:
            server.share(())
        server.count_on(None)
        server.resume()

    def _bury(self, handle: processes.Handle) -> None:
        """See the former server end; end it when its time is over."""
        patience = self._has.drain_timeout + _MARGIN
        if handle.gone(patience):
            return
        log.warning(
            "the former server (pid %d) has not ended within %g s: it is killed",
            self._has.incumbent.pid,
            patience,
        )
        handle.send(signal.SIGKILL)


def _same(path: Path, has: Inheritance) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(has.file))
    except OSError:
        return path == has.pid_file
