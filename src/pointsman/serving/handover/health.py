"""When a successor on probation has to go.  Values and decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A status from here on says that the server is broken, not that the question is.
BROKEN = 500
#: So many in a row are no accident.
_MOST_BROKEN = 3


@dataclass(frozen=True, slots=True)
class Health:
    """What a server reports of itself.

    ``unready`` is why requests should not come to it, "" when they should;
    ``waiting`` for how many seconds a request of its own has been waiting; ``broken``
    how many of these in a row were answered with 500 or more.
    """

    unready: str = ""
    waiting: float = 0.0
    broken: int = 0

    def words(self) -> dict[str, Any]:
        """Return what to say of it."""
        return {
            "unready": self.unready,
            "waiting": self.waiting,
            "broken": self.broken,
        }

    @classmethod
    def told(cls, words: Mapping[str, Any]) -> Self:
        """Read what was said."""
        return cls(
            str(words.get("unready", "")),
            float(words.get("waiting", 0.0)),
            int(words.get("broken", 0)),
        )


@dataclass(frozen=True, slots=True)
class Baseline:
    """What can be expected: what the incumbent itself did before.

    ``status`` is its answer to the request that proves it, 0 if it gave none;
    ``ready`` tells whether its nodes were.
    """

    status: int = 0
    ready: bool = True

    def refuses(self, status: int) -> str:
        """Return why a successor that answers ``status`` is not ready, or ""."""
        if status >= BROKEN and 0 < self.status < BROKEN:
            return (
                f"it answers HEAD / with {status}, where the running server answers "
                f"{self.status}"
            )
        return ""

    def trouble(self, health: Health, hang_timeout: float) -> str:
        """Return why a successor on probation has to go, or ""."""
        if health.unready and self.ready:
            return f"it is no longer ready: {health.unready}"
        if health.waiting >= hang_timeout:
            return f"it hangs: no request has been answered for {health.waiting:.0f} s"
        if health.broken >= _MOST_BROKEN and 0 < self.status < BROKEN:
            return f"its last {health.broken} answers to HEAD / were failures"
        return ""
