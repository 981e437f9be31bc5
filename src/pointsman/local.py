"""One process's end of the ledger's generations.  Engine.

It knows what the sources of this machine want and what the generation holds, and
lets `switching.Switching` go from one to the next.  From one thread at a time.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pointsman import planning
from pointsman.cluster import Contents, Failed
from pointsman.errors import ArtifactError, DamagedError, ReleaseError
from pointsman.model import Scan

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.artifacts import Artifacts
    from pointsman.model import Outcome, Package
    from pointsman.round import Refusal
    from pointsman.switching import Switching

_log = logging.getLogger(__name__)

#: Before the first deployment the ledger has no generation; this stands for it.
NOTHING = Contents(0)


class Local:
    """What this process serves of the ledger, and of its own sources."""

    def __init__(self, switching: Switching, artifacts: Artifacts) -> None:
        """Serve nothing yet."""
        self._switching = switching
        self._artifacts = artifacts
        self.static = Scan()
        self.outcomes: tuple[Outcome, ...] = ()  # of the last `join` or `follow`
        self.contents = NOTHING
        self.hot: dict[str, Package] = {}
        self._next: tuple[Contents, dict[str, Package], str] | None = None

    @property
    def number(self) -> int:
        """Return the generation that serves."""
        return self.contents.number

    @property
    def staged(self) -> int | None:
        """Return the generation that waits for `switch` or `discard`."""
        return self._next[0].number if self._next else None

    @property
    def shadowed(self) -> tuple[str, ...]:
        """Return the static packages whose name the generation has."""
        return planning.shadowed(self.static, self.hot)

    # TOGETHER WITH THE OTHER NODES

    def stage(self, contents: Contents) -> tuple[Failed, ...]:
        """Load a generation beside what serves; return who fails, and nothing then.

        Raises:
            LedgerError: its artifacts cannot be read; nothing is staged.

        """
        hot, failed = self._packages(contents)
        if failed:
            return failed
        static = {p.name: p for p in self.static.packages}
        active = self._switching.active
        moves = planning.moves(active, self.hot, hot, static)
        refused = self._switching.stage(moves)
        if refused:
            return _told(refused)
        self._next = contents, hot, planning.told(active, moves)
        return ()

    def switch(self) -> None:
        """Serve what was staged."""
        if self._next is None:  # pragma: no cover - a caller's mistake
            raise RuntimeError("nothing is staged")
        (contents, hot, told), self._next = self._next, None
        stopped = contents.stopped ^ self.contents.stopped
        self._switching.switch(contents.number, contents.stopped)
        self.contents, self.hot = contents, hot
        _log.info(
            "generation %d serves: %s",
            contents.number,
            told or f"stopped or started {', '.join(sorted(stopped))}",
        )

    def discard(self) -> None:
        """Let go of what was staged."""
        self._next = None
        self._switching.discard()

    # ALONE

    def join(self, contents: Contents) -> tuple[Failed, ...]:
        """Go to a generation that is decided already; return who fails.

        Nothing changes when a package of the generation fails.  Static ones that
        fail are left out.

        Raises:
            LedgerError: its artifacts cannot be read.

        """
        hot, failed = self._packages(contents)
        if failed:
            return failed
        scan = planning.combined(self.static, hot)
        joined, outcomes = self._switching.join(
            scan, frozenset(hot), contents.number, contents.stopped
        )
        self.outcomes = outcomes
        if not joined:
            return tuple(
                Failed(one.package, one.reason, one.traceback)
                for one in outcomes
                if one.status == "failed" and one.package in hot
            )
        self.contents, self.hot = contents, hot
        return ()

    def follow(self, static: Scan) -> tuple[Outcome, ...]:
        """Go as far towards what the sources of this machine want as loads allow."""
        self.static = static
        self.outcomes = self._switching.step(planning.combined(static, self.hot))
        return self.outcomes

    def _packages(
        self, contents: Contents
    ) -> tuple[dict[str, Package], tuple[Failed, ...]]:
        found: dict[str, Package] = {}
        failed = []
        for name, entry in contents.entries.items():
            known = self.hot.get(name)
            if known is not None and known.artifact.digest == entry.digest:
                found[name] = known
                continue
            try:
                found[name] = self._artifacts.package(entry)
            except (ArtifactError, DamagedError, ReleaseError) as error:
                failed.append(Failed(name, str(error)))
        return found, tuple(failed)


def _told(refused: Mapping[str, Refusal]) -> tuple[Failed, ...]:
    return tuple(
        Failed(name, refusal.reason, refusal.traceback)
        for name, refusal in sorted(refused.items())
    )
