"""What an activation does next, given what is there.  Decisions.

The journal is written *before* each step, so a step that it names may have been begun,
finished, or not even been reached.  What really happened is asked of the server: it
knows from which tree it serves.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pointsman.releases.layout import Release
    from pointsman.releases.server import Seen


class Step(StrEnum):
    """How far an activation has come, in this order; one of the last two ends it."""

    PROVING = "proving"  # verify, look at the modes, self-test: nothing is changed
    SWITCHING = "switching"  # the server is asked; whether it has heard is unknown
    WATCHING = "watching"  # the release serves, on probation
    COMMITTING = "committing"  # it has passed; `current` and the log may lag behind
    RETURNING = "returning"  # it has failed; server, quarantine and log may lag


class Course(StrEnum):
    """How a release gets to serve."""

    NOTHING = "nothing"  # it does, and that is recorded
    COMMIT = "commit"  # it does; only the record is missing
    HAND_OVER = "hand over"  # another one serves, and takes part
    START = "start"  # nobody serves
    REPLACE = "replace"  # somebody serves who no longer listens to anybody
    REFUSE = "refuse"  # the same, and what it does must not be cut


class Ending(StrEnum):
    """How an interrupted activation ends."""

    AWAIT = "await"  # the server is about to decide it; then look again
    FORGET = "forget"  # nothing of it is left
    FINISH = "finish"  # the release serves: record it
    RESTORE = "restore"  # let the one before serve again; nothing is known against it
    CONDEMN = "condemn"  # it has failed: the same, and quarantine


def course(
    target: Release, current: Release | None, seen: Seen, *, urgent: bool
) -> Course:
    """Return how ``target`` gets to serve; ``urgent`` is a rollback."""
    if seen.deaf:
        return Course.REPLACE if urgent else Course.REFUSE
    if not seen.running:
        return Course.START
    if seen.release != target:
        return Course.HAND_OVER
    return Course.NOTHING if current == target else Course.COMMIT


def ending(step: Step, target: Release, seen: Seen, *, decides: bool) -> Ending:
    """Return how an activation of ``target`` ends that was interrupted at ``step``.

    ``decides``: the server ends a switch by itself, when nobody waits for it.
    """
    if step is Step.PROVING:
        return Ending.FORGET
    if seen.undecided:
        return Ending.AWAIT
    if step is Step.RETURNING:
        return Ending.CONDEMN
    serves = seen.running and seen.release == target
    if step is Step.COMMITTING:
        # Where another one was started since, the record must not say otherwise.
        return Ending.FINISH if serves or not seen.running else Ending.FORGET
    if serves:
        return Ending.FINISH if decides else Ending.RESTORE
    # The server remembers its last switch.  One that was started since does not, and
    # that the machine was switched off says nothing against the release.
    refused = seen.running and seen.refused == target
    return Ending.CONDEMN if refused else Ending.FORGET
