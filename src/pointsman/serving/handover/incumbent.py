"""One switch, as the running server goes through it.  Engine.

1. The successor is started, with everything that it needs to take over.
2. It loads, and proves itself by a request over a connection of its own.  Until then
   it has answered no client, so that whatever fails has changed nothing.
3. It accepts, beside us; then we stand by: our loop looks away from the sockets, our
   last answers say ``Connection: close``, idle connections get their grace.  Our
   services stay loaded and our nodes stay in the ledger.  A request of ours to each
   of the sockets must be answered now, and only the successor can.
4. Probation.  We ask how it is, and wait for its death (pidfd_open(2)).  Whatever is
   wrong: we accept again first, then comes the rest.
5. Commit: our desk falls silent, the successor writes the pid file and answers on the
   same socket, we let go, and drain.

Timeline of a crash in the probation: the successor dies at t; its connections are
reset by the kernel, those in the sockets' queues are not, because the sockets are
ours, too; poll(2) returns in this thread at t + 0.1 ms, the loop is woken, and takes
the first one from the queue at t + 1 ms or, when many threads want the interpreter,
some switch intervals later.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from pointsman.errors import ReleaseError
from pointsman.serving import nodes, readiness
from pointsman.serving.handover import probe
from pointsman.serving.handover.health import Baseline, Health
from pointsman.serving.handover.heir import spawned
from pointsman.serving.handover.outcome import Outcome, Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.serving.handover.heir import Heir
    from pointsman.serving.handover.outcome import Plan
    from pointsman.serving.notify import Notifier
    from pointsman.serving.office import Office
    from pointsman.serving.server import Server

log = logging.getLogger(__name__)
# How often the successor is asked how it is, and we look whether we are stopped.
_TURN = 0.25
# How long our own answer to a request may take, and the loop to look away.
_OWN_ANSWER, _ASIDE = 5.0, 5.0
# After SIGTERM, before SIGKILL: of one that has answered nobody; beyond its drain.
_UNUSED, _MARGIN = 5.0, 5.0
# The steps at which a ring ends the waiting for what the successor says.
_RUNG = frozenset({"proving", "probation"})


class _FailedError(Exception):
    """The switch ends here, in favour of the incumbent."""

    def __init__(self, reason: str, traceback: str = "") -> None:
        super().__init__(reason)
        self.reason, self.traceback = reason, traceback


class Switch:
    """One switch.  :meth:`run` belongs to one thread; all else to any."""

    def __init__(
        self,
        plan: Plan,
        server: Server,
        office: Office,
        notifier: Notifier,
        tell: Callable[[dict[str, Any]], None],
    ) -> None:
        """``tell`` is told each step, in the thread of :meth:`run`."""
        self._plan, self._server, self._office = plan, server, office
        self._notifier, self._tell = notifier, tell
        self._bell = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._who: dict[str, Any] = {"pid": 0, "release": "", "tree": ""}
        self._ready: dict[str, Any] = {}
        self._heir: Heir | None = None
        self._baseline = Baseline()
        self._answers: bool | None = None  # on the sockets; None: not known yet
        self._commit_now = False
        self._refused = ""
        #: What it is at; for the status.
        self.step = "starting"

    # -- from other threads

    def commit(self) -> None:
        """End the probation as soon as the successor has answered a request."""
        self._commit_now = True
        self._ring()

    def take_back(self, reason: str) -> None:
        """End in favour of the incumbent."""
        self._refused = reason or "it was asked for"
        self._ring()

    def pass_on(self, number: int) -> None:
        """Send a signal to who is on probation: it serves, as we do."""
        heir = self._heir
        if heir is not None and self.step == "probation":
            heir.send(number)

    def described(self) -> dict[str, Any]:
        """Return where it is, for the status."""
        return {"step": self.step, **self._who}

    def _ring(self) -> None:
        with suppress(OSError, ValueError):
            os.eventfd_write(self._bell, 1)

    # -- from the first step to the last

    def run(self) -> Outcome:
        """Go through it; afterwards one of the two servers is in charge."""
        try:
            with spawned(self._plan) as heir:
                return self._taken_through(heir)
        except ReleaseError as error:
            return self._outcome(Result.NOT_READY, str(error))
        finally:
            os.close(self._bell)

    def _taken_through(self, heir: Heir) -> Outcome:
        self._heir, self._who["pid"] = heir, heir.pid
        try:
            self._begin(heir)
            self._await_ready(heir)
        except _FailedError as failed:
            return self._give_up(heir, failed)
        except BaseException:
            heir.kill()
            raise
        try:
            self._stand_by(heir)
            self._watch(heir)
            self._commit(heir)
        except _FailedError as failed:
            return self._take_back(heir, failed)
        except BaseException:
            self._server.resume()
            heir.kill()
            raise
        heir.let_go()
        return self._outcome(Result.COMMITTED)

    def bow_out(self) -> None:
        """Drain and end, after a commit that the asker has been told of."""
        self._server.stop()
        self._notifier.wait_until_read()

    def _outcome(self, result: Result, reason: str = "", **more: Any) -> Outcome:
        self.step = result.value
        return Outcome(result, **self._who, reason=reason, **more)

    def _step(self, name: str, **details: Any) -> None:
        self.step = name
        told = ", ".join(f"{key} {value}" for key, value in details.items())
        log.info("switch: %s; %s", name, told)
        self._tell({"step": name, **details})

    # -- until it is ready

    def _begin(self, heir: Heir) -> None:
        self._step("started", pid=heir.pid)
        heir.bequeath(self._plan, self._server, self._office, self._notifier.address)
        status = probe.status_of(self._server, _OWN_ANSWER)
        self._baseline = Baseline(status, not nodes.unready())

    def _await_ready(self, heir: Heir) -> None:
        began = time.monotonic()
        end = began + self._plan.ready_timeout
        while not self._ready:
            said = self._heard(heir, end)
            if not said:
                seconds = self._plan.ready_timeout
                raise _FailedError(f"it was not ready within {seconds:g} s")
            if said.get("said") == "loading":
                self._meet(heir, said)
            elif said.get("said") == "failed":
                raise _FailedError(str(said["reason"]), str(said.get("trace", "")))
            elif said.get("said") == "ready":
                self._ready = said
        refusal = self._baseline.refuses(int(self._ready["status"]))
        if refusal:
            raise _FailedError(refusal)
        took = round(time.monotonic() - began, 3)
        self._step("ready", **self._who, seconds=took)

    def _meet(self, heir: Heir, said: dict[str, Any]) -> None:
        if said["pid"] != heir.pid:
            # Else it would take over as an orphan as soon as this process ends.
            with suppress(OSError):
                os.kill(int(said["pid"]), signal.SIGKILL)
            raise _FailedError(
                f"{self._plan.argv[0]} has started the server as a child (pid "
                f"{said['pid']} below {heir.pid}): it must become it, by exec"
            )
        self._who["release"], self._who["tree"] = said["release"], said["tree"]

    def _give_up(self, heir: Heir, failed: _FailedError) -> Outcome:
        died = heir.killed_by()
        heir.end(_UNUSED)
        log.warning("switch: not ready: %s", failed.reason)
        return self._outcome(
            Result.NOT_READY, failed.reason, traceback=failed.traceback, signal=died
        )

    # -- on probation

    def _stand_by(self, heir: Heir) -> None:
        heir.line.say(do="serve")
        end = time.monotonic() + self._plan.hang_timeout
        while (said := self._heard(heir, end)).get("said") != "serving":
            if not said:
                raise _FailedError("it hangs: it does not begin to serve")
        self._server.stand_by(_ASIDE)
        self.step = "proving"
        threading.Thread(target=self._prove, name="proof", daemon=True).start()
        end = time.monotonic() + self._plan.hang_timeout + _ASIDE
        while not self._answers:
            self._heard(heir, end)
            if self._answers is False or time.monotonic() >= end:
                raise _FailedError("it does not answer on the sockets it took over")
        self._step("probation", seconds=self._plan.probation)

    def _prove(self) -> None:
        """Send a request to the sockets; nobody but the successor accepts there."""
        sockets = self._server.duplicates()
        self._answers = all(
            readiness.answers(sockets[number], self._plan.hang_timeout)
            for number in self._ready["kept"]
        )
        for each in sockets:
            each.close()
        self._ring()

    def _watch(self, heir: Heir) -> None:
        end = time.monotonic() + self._plan.probation
        asked_at = 0.0  # when the answer that we wait for was asked for; 0 for none
        next_question = 0.0
        while not self._commit_now and time.monotonic() < end:
            now = time.monotonic()
            if not asked_at and now >= next_question:
                heir.line.say(do="report")
                asked_at, next_question = now, now + _TURN
            said = self._heard(heir, now + _TURN)
            if said.get("said") == "health":
                asked_at = 0.0
                self._judge(said)
            elif said.get("said") == "stopping":
                raise _FailedError("it was stopped by somebody else")
            elif asked_at and time.monotonic() - asked_at >= self._plan.hang_timeout:
                silent = time.monotonic() - asked_at
                raise _FailedError(f"it hangs: it has been silent for {silent:.0f} s")

    def _judge(self, said: dict[str, Any]) -> None:
        trouble = self._baseline.trouble(Health.told(said), self._plan.hang_timeout)
        if trouble:
            raise _FailedError(trouble)

    def _heard(self, heir: Heir, end: float) -> dict[str, Any]:
        """Return what the successor says next; nothing when it is silent until then.

        Raises:
            _FailedError: it has died, or this switch shall not go on.

        """
        while True:
            said = heir.said()
            if said:
                return said
            self._heed()
            left = end - time.monotonic()
            if left <= 0:
                return {}
            if not heir.wait(min(left, _TURN), self._bell):
                self._server.resume()  # before anything else
                heir.process.wait()
                if last_words := heir.said():
                    return last_words
                raise _FailedError(self._death(heir))
            with suppress(BlockingIOError):
                if os.eventfd_read(self._bell) and self.step in _RUNG:
                    return {}

    def _heed(self) -> None:
        if self._refused:
            raise _FailedError(self._refused)
        if self._server.draining:
            raise _FailedError("the running server was stopped")

    def _death(self, heir: Heir) -> str:
        when = "on probation" if self._ready else "while it started"
        by = heir.killed_by() or f"with exit code {heir.process.returncode}"
        return f"it died {when}, {f'by {by}' if by.startswith('SIG') else by}"

    # -- the end

    def _commit(self, heir: Heir) -> None:
        self._office.pause()
        heir.line.say(do="commit")
        end = time.monotonic() + self._plan.hang_timeout
        said: dict[str, Any] = {}
        with suppress(_FailedError):
            while (said := self._heard_of_commit(heir, end)).get("said") != "committed":
                if not said:
                    break
        if not said:
            heir.kill()  # so that it cannot write the pid file behind our back
            self._office.open()
            raise _FailedError(f"it did not take over: {self._death(heir)}")
        self._office.leave()
        self._server.share(self._ready["kept"])
        status = f"release {self._who['release']} in {self._who['tree']}"
        self._notifier.successor(heir.pid, status)
        log.info("switch: pid %d serves from now on, %s", heir.pid, status)

    def _heard_of_commit(self, heir: Heir, end: float) -> dict[str, Any]:
        """Return the next message; from here on, a stop comes too late for us."""
        while not (said := heir.said()):
            left = end - time.monotonic()
            if left <= 0 or not heir.wait(left, self._bell):
                return heir.said()
        return said

    def _take_back(self, heir: Heir, failed: _FailedError) -> Outcome:
        if not self._server.draining:
            self._server.resume()
        self._step("answering again", reason=failed.reason)
        died = heir.killed_by()
        if heir.alive():
            heir.line.say(do="stand by")
            heir.end(float(self._ready["drain_timeout"]) + _MARGIN)
        lost, idle = heir.page.owed(), heir.page.idle()
        while said := heir.said():
            lost = max(lost, int(said.get("unanswered", 0)))
        log.warning("switch: taken back: %s; %d requests lost", failed.reason, lost)
        return self._outcome(
            Result.TAKEN_BACK, failed.reason, signal=died, lost=lost, idle=idle
        )
