"""Named points at which a test can kill this process.  Effects.

``POINTSMAN_KILL_AT=voted`` in the environment ends the process there with SIGKILL,
as a power switch would.  Without it, a point costs one comparison.
"""

from __future__ import annotations

import os
import signal
from typing import Final

#: Every point, in the order in which a deployment passes them.
POINTS: Final = (
    "picked-up",  # a file of the pick-up directory is claimed, nothing is proposed
    "stored",  # the artifact is in the ledger, nothing is proposed
    "proposed",  # the proposal is in the ledger; nobody has begun to load it
    "staged",  # loaded beside what serves; the vote is not given
    "voted",  # the vote is given, and may have decided
    "decided",  # the generation is active in the ledger; the old one still serves
    "switched",  # the new one serves; the ledger does not know it yet
    "recorded",  # the ledger knows it
    "drained",  # the last request of the old version is done; stop() is not called
    "retired",  # the old version is forgotten
    "removing",  # the picked-up file is deployed, and still there
)

_WANTED = os.environ.get("POINTSMAN_KILL_AT", "")


def point(name: str) -> None:
    """Be the point ``name``: end here, if a test wants it."""
    if _WANTED and name == _WANTED:
        os.kill(os.getpid(), signal.SIGKILL)
