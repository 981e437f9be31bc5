"""The contracts between the layers: threads, order, errors.  Values.

Each has one suite below ``tests/contract`` that every implementation passes.
"""

from pointsman.interfaces.engine import Follower, Runtime, Source
from pointsman.interfaces.ledger import Ledger
from pointsman.interfaces.nodes import Hints

__all__ = ["Follower", "Hints", "Ledger", "Runtime", "Source"]
