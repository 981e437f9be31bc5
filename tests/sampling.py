"""Which of many alike cases the ordinary run tries.

``POINTSMAN_TESTS=all`` in the environment tries all of them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

Case = TypeVar("Case")


def usual(every: Sequence[Case], left_out: Collection[Case]) -> list[Case]:
    """Return all cases but those that others stand for."""
    if os.environ.get("POINTSMAN_TESTS") == "all":
        return list(every)
    return [case for case in every if case not in left_out]
