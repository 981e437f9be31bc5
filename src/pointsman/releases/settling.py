"""Ending what a killed command has begun.  Effects.

The journal says what was about to be done; the server says what really serves.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.releases import decisions, endings
from pointsman.releases.decisions import Ending, Step
from pointsman.releases.report import Settled

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.releases.journal import Entry
    from pointsman.releases.layout import Release
    from pointsman.releases.server import OnStep, Seen, Server
    from pointsman.releases.store import Store

# What a server may take beyond the probation, to start a release or to end one.
_MARGIN = 240.0
_LOOK = 0.1


class Settling:
    """Settles the activations of one site.  The caller holds the store's lock."""

    def __init__(
        self,
        store: Store,
        server: Server,
        kind: str,
        on_step: OnStep,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Touch nothing yet; ``kind`` is what the journal calls the server."""
        self._store, self._server, self._kind = store, server, kind
        self._told, self._clock, self._sleep = on_step, clock, sleep

    def settle(self) -> Settled | None:
        """Finish or undo; return what became of it, None when nothing was under way.

        Blocks while the server has yet to decide.

        Raises:
            ReleaseError: how it stands cannot be known now; nothing was changed.

        """
        entry = self._store.journal.read()
        if entry is None:
            return None
        release = self._ours(entry)
        self._told("settling", f"{release} was interrupted while {entry.step}")
        ending, seen = self._ending(entry, release)
        return self._end(entry, release, ending, seen)

    def _ours(self, entry: Entry) -> Release:
        kind = entry.facts.get("server", self._kind)
        if kind != self._kind:
            raise ReleaseError(
                f"an activation with --server {kind} was interrupted; "
                f"end it first: pointsman release activate … --server {kind}"
            )
        release = endings.released(entry.facts, "release")
        if release is None:
            raise ReleaseError(
                f"{self._store.root.journal} names no release: see which one serves, "
                "and remove the file"
            )
        return release

    def _ending(self, entry: Entry, release: Release) -> tuple[Ending, Seen]:
        limit = self._clock() + float(entry.facts.get("watch", 0)) + _MARGIN
        while True:
            seen = self._server.seen()
            if seen.deaf:
                raise ReleaseError(
                    f"an activation of {release} was interrupted, and the server that "
                    "runs does not say what it serves; end it, then try again"
                )
            step, decides = Step(entry.step), self._server.decides
            ending = decisions.ending(step, release, seen, decides=decides)
            if ending is not Ending.AWAIT:
                return ending, seen
            if self._clock() > limit:
                raise ReleaseError(
                    f"the server has not decided about {release} in time; see its log"
                )
            self._sleep(_LOOK)

    def _end(
        self, entry: Entry, release: Release, ending: Ending, seen: Seen
    ) -> Settled:
        step, facts = entry.step, entry.facts
        if ending is Ending.FINISH:
            endings.commit(self._store)
            return Settled(release, step, "activated")
        if seen.running and seen.release == release and step != Step.PROVING:
            before = endings.released(facts, "previous")
            self._server.restore(before, "interrupted", self._told)
        if ending is Ending.CONDEMN:
            reason = str(facts.get("reason") or seen.reason or "it was taken back")
            endings.condemn(self._store, reason, int(facts.get("lost", 0)))
            return Settled(release, step, "failed", reason)
        endings.forget(self._store, "the command was ended before it was decided")
        return Settled(release, step, "forgotten")
