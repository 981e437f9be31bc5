"""What the desk of a server does about switches.  Edge.

Questions, each from root or the server's own user:

================== ==================================================================
``"switch"``       a :class:`~pointsman.serving.handover.outcome.Plan`; answered by a
                   line for each step, the last one being the outcome
``"commit"``       end the probation that is under way, in favour of the successor
``"take back"``    end the switch that is under way, with a ``reason``
================== ==================================================================
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from pointsman.serving import register
from pointsman.serving.handover.incumbent import Switch
from pointsman.serving.handover.outcome import Outcome, Plan, Result

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.serving.desk import Conversation
    from pointsman.serving.notify import Notifier
    from pointsman.serving.office import Office
    from pointsman.serving.server import Server

log = logging.getLogger(__name__)
_STRANGER = "only root and the server's own user may ask for that"


class Switching:
    """The switches of one process, one at a time.  Any thread."""

    def __init__(self, office: Office, notifier: Notifier) -> None:
        """Answer at the desk of ``office`` from now on."""
        self._office, self._notifier = office, notifier
        self._changed = threading.Condition()  # guards _switch and _last
        self._switch: Switch | None = None
        self._last: Outcome | None = None
        office.desk.questions.update(
            {
                "switch": self._asked,
                "commit": self._commit,
                "take back": self._take_back,
            }
        )
        office.desk.details = self._details

    def pass_on(self, number: int) -> None:
        """Let who is on probation have a signal, too: SIGHUP, SIGUSR1."""
        with self._changed:
            switch = self._switch
        if switch is not None:
            switch.pass_on(number)

    def finish(self, timeout: float) -> None:
        """Wait for the end of a switch that a stop has ended."""
        with self._changed:
            self._changed.wait_for(lambda: self._switch is None, timeout)

    def _details(self) -> dict[str, Any]:
        with self._changed:
            switch, last = self._switch, self._last
        server = register.current()
        return {
            "can_switch": server is not None and not server.draining,
            "switch": switch.described() if switch else None,
            "last_switch": last.line() if last else None,
        }

    # -- the questions

    def _asked(self, question: dict[str, Any], asker: Conversation) -> None:
        try:
            switch = self._begun(question, asker)
        except ValueError as error:
            asker.say({"error": str(error)})
            return
        try:
            outcome = switch.run()
        except Exception as error:
            log.exception("switch: an error of pointsman itself")
            outcome = Outcome(Result.TAKEN_BACK, reason=f"an error of ours: {error!r}")
        if not outcome.committed:
            self._end(outcome)
            asker.say(outcome.line())
            return
        asker.say(outcome.line())
        switch.bow_out()
        self._end(outcome)

    def _end(self, outcome: Outcome) -> None:
        with self._changed:
            self._switch, self._last = None, outcome
            self._changed.notify_all()

    def _begun(self, question: dict[str, Any], asker: Conversation) -> Switch:
        """Return the one switch that there is now.

        Raises:
            ValueError: there can be none; a sentence.

        """
        if not asker.is_trusted():
            raise ValueError(_STRANGER)
        plan, server = Plan.asked(question), _server()
        with self._changed:
            if self._switch is not None:
                at = self._switch.described()
                raise ValueError(
                    f"a switch to pid {at['pid']} is under way ({at['step']}); wait "
                    "for its end, or take it back"
                )
            self._switch = Switch(plan, server, self._office, self._notifier, asker.say)
            return self._switch

    def _commit(self, _question: dict[str, Any], asker: Conversation) -> None:
        self._decide(asker, lambda switch: switch.commit())

    def _take_back(self, question: dict[str, Any], asker: Conversation) -> None:
        reason = str(question.get("reason", ""))
        self._decide(asker, lambda switch: switch.take_back(reason))

    def _decide(self, asker: Conversation, decide: Callable[[Switch], None]) -> None:
        with self._changed:
            switch = self._switch
        if not asker.is_trusted():
            asker.say({"error": _STRANGER})
        elif switch is None:
            asker.say({"error": "no switch is under way"})
        else:
            decide(switch)
            asker.say({"noted": True})


def _server() -> Server:
    server = register.current()
    if server is None:
        raise ValueError(
            "this server has no sockets to hand over: it is still loading, or its "
            "section does not say use = egg:pointsman#server"
        )
    if server.draining:
        raise ValueError("the server is stopping")
    return server
