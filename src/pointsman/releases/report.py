"""What an activation did and what came of it.  Values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pointsman.releases.layout import Release

#: ``unchanged``: it serves already.  ``failed``: what served before serves again, where
#: something did; what has failed is in quarantine, unless it was committed before.
#: ``taken back``: so does it, because a rollback came while another command watched.
Result = Literal["activated", "rolled back", "unchanged", "failed", "taken back"]


@dataclass(frozen=True, slots=True)
class Stage:
    """One thing that was done; ``at`` is when it began, in seconds of the call."""

    name: str
    detail: str
    at: float


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of an activation that somebody did not see the end of."""

    release: Release
    step: str
    result: Literal["activated", "failed", "forgotten"]
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """What one call came to.

    ``release`` is what was wanted, ``before`` what was committed until then; ``lost``
    counts the requests that died with a release that did not last.  ``now`` says what
    serves after a failure.
    """

    result: Result
    release: Release
    before: Release | None = None
    reason: str = ""
    lost: int = 0
    stages: tuple[Stage, ...] = ()
    settled: Settled | None = None
    now: str = ""

    @property
    def good(self) -> bool:
        """Tell whether what was wanted is so."""
        return self.result != "failed"
