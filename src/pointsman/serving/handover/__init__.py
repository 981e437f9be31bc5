"""The hand-over: a running server starts its successor and gives it its sockets.

Effects.  Other processes ask for it here (``asking``); what both servers then do
is in ``incumbent`` and ``successor``.  Above the layer of ``serving`` only: what lies
below gets these functions as arguments.
"""

from pointsman.serving.handover.asking import commit, current, switch, take_back
from pointsman.serving.handover.outcome import (
    Outcome,
    Plan,
    Result,
    Serving,
    Step,
)

__all__ = [
    "Outcome",
    "Plan",
    "Result",
    "Serving",
    "Step",
    "commit",
    "current",
    "switch",
    "take_back",
]
