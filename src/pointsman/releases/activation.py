"""Activating a release: proved, switched to, watched, then kept or not.  Effects.

::

    proving ──▶ switching ──▶ watching ──▶ committing ──▶ (the journal ends)
       │            │             │
       ▼            └─────────────┴──────▶ returning ───▶ (the journal ends)
    refused: nothing has changed           what served before serves; quarantine

Each step is in the journal before it begins.  A command that is killed leaves it there,
and the next one ends what was begun (`settling`).  ``current`` is written at the very
end (`endings`): what a reboot starts has passed.
"""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError
from pointsman.faults import point
from pointsman.releases import decisions, endings, proof
from pointsman.releases.decisions import Course, Step
from pointsman.releases.report import Report, Stage
from pointsman.releases.server import Account
from pointsman.releases.settling import Settling

if TYPE_CHECKING:
    from collections.abc import Callable

    from pointsman.releases.layout import Release
    from pointsman.releases.report import Result, Settled
    from pointsman.releases.server import Moved, OnStep, Server
    from pointsman.releases.store import Store

WATCH = 30.0
SELF_TEST_TIMEOUT = 300.0
# Until a command whose switch was taken back has ended, in seconds.
_PATIENCE, _LOOK = 60.0, 0.1


class Activation:
    """One call: `activate`, `rollback` or `settle`, once.  One thread.

    ``kind`` is what the journal calls the server.  ``account`` is the serving user;
    None is whoever serves now, or else owns ``shared/var``.  ``on_step`` is told what
    begins, with a detail.
    """

    def __init__(
        self,
        store: Store,
        server: Server,
        *,
        kind: str = "paster",
        account: Account | None = None,
        on_step: OnStep = lambda _name, _detail: None,
        self_test_timeout: float = SELF_TEST_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Touch nothing yet."""
        self._store, self._server, self._kind = store, server, kind
        self._account, self._on_step = account, on_step
        self._self_test_timeout = self_test_timeout
        self._clock, self._began = clock, clock()
        self._settling = Settling(
            store, server, kind, self._tell, clock=clock, sleep=sleep
        )
        self._sleep = sleep
        self._wanted: Result = "activated"
        self._stages: list[Stage] = []
        self._settled: Settled | None = None

    def activate(
        self, release: Release, *, watch: float = WATCH, force: str = ""
    ) -> Report:
        """Let ``release`` serve; what served before does again when it fails.

        ``watch`` is how long it is on probation, in seconds.  ``force`` is why a
        quarantine does not count this time; it is logged.

        Raises:
            UnprovenError: it cannot serve; nothing has changed.
            ReleaseError: the same, by somebody else's fault; or how it ended cannot be
                known (then the next call settles it).

        """
        with self._store.locked(f"activate {release}"):
            self._settled = self._settling.settle()
            self._refuse_quarantined(release, force)
            before = self._store.current()
            course = self._course(release, before, urgent=False)
            if course is Course.NOTHING:
                return self._report("unchanged", release, before)
            self._begin(release, before, watch=watch, forced=force)
            self._prove(release, self_test=True)
            return self._go(course, release, before, watch)

    def rollback(self, *, watch: float = WATCH, reason: str = "") -> Report:
        """Let the release serve again that was committed before the current one.

        The current one goes to quarantine.  The self-test is not asked again.  A
        switch that another command waits for is taken back, and that is all.

        Raises:
            ReleaseError: there is nothing to go back to; see also `activate`.

        """
        taken_back = self._take_back(reason)
        if taken_back is not None:
            return taken_back
        self._wanted = "rolled back"
        with self._store.locked("rollback"):
            self._settled = self._settling.settle()
            bad, release = self._store.current(), self._store.previous()
            if release is None or bad is None:
                raise ReleaseError(_nothing_before(bad, release))
            course = self._course(release, bad, urgent=True)
            why = f"rolled back: {reason}" if reason else "rolled back"
            self._begin(release, bad, watch=watch, bad=str(bad), reason=why)
            self._prove(release, self_test=False)
            return self._go(course, release, bad, watch)

    def settle(self) -> Settled | None:
        """End what a killed command has begun; None when nothing was.

        Raises:
            ReleaseError: another command is at work, or it cannot be known now.

        """
        with self._store.locked("settle"):
            return self._settling.settle()

    # BEFORE ANYTHING CHANGES

    def _refuse_quarantined(self, release: Release, force: str) -> None:
        reason = self._store.quarantined(release)
        if reason and not force:
            raise ReleaseError(
                f"{release} is in quarantine ({reason}); if that is no longer so: "
                f"pointsman release clear {release}"
            )

    def _course(
        self, release: Release, current: Release | None, *, urgent: bool
    ) -> Course:
        seen = self._server.seen()
        if seen.undecided:
            raise ReleaseError("the server is in the middle of another switch")
        self._account = self._account or seen.account
        course = decisions.course(release, current, seen, urgent=urgent)
        if course is Course.REFUSE:
            raise ReleaseError(
                "the server that runs does not answer questions, so nothing can be "
                "handed over; restart it, or go back: pointsman release rollback"
            )
        return course

    def _begin(self, release: Release, before: Release | None, **facts: object) -> None:
        self._store.journal.write(
            Step.PROVING,
            activation=secrets.token_hex(6),
            server=self._kind,
            release=str(release),
            previous=str(before) if before else "",
            **facts,
        )
        point("release.proving")

    def _prove(self, release: Release, *, self_test: bool) -> None:
        try:
            self._proved(release, self_test=self_test)
        except BaseException as error:
            endings.forget(self._store, str(error) or type(error).__name__)
            raise
        point("release.proved")

    def _proved(self, release: Release, *, self_test: bool) -> None:
        self._tell("verifying", "every file against the manifest")
        proof.files(self._store, release)
        account = self._account or self._owner()
        who = proof.name(account)
        self._tell("reading", proof.reach(self._store, release, account) or f"as {who}")
        if self_test:
            self._tell("self-test", f"as {who}")
            timeout = self._self_test_timeout
            proof.self_test(self._store.root, release, account, timeout=timeout)

    def _owner(self) -> Account:
        found = self._store.root.var.stat()
        return Account(found.st_uid, found.st_gid)

    # THE SWITCH

    def _go(
        self, course: Course, release: Release, before: Release | None, watch: float
    ) -> Report:
        if course is Course.COMMIT:
            endings.commit(self._store)
            return self._report(self._wanted, release, before)
        self._step(Step.SWITCHING, f"{before or 'nothing'} → {release}")
        try:
            moved = self._switch(course, release, watch)
        except KeyboardInterrupt:
            self._interrupted(course, before)
            raise
        except ReleaseError:
            # It was refused, or nobody saw the end of it: the server knows.
            settled = self._settling.settle()
            if settled is None or settled.result == "forgotten":
                raise
            result = self._wanted if settled.result == "activated" else "failed"
            return self._report(result, release, before, settled.reason)
        point("release.switched")
        return self._ended(moved, release, before)

    def _switch(self, course: Course, release: Release, watch: float) -> Moved:
        if course is Course.START:
            return self._server.start(release, watch=watch, on_step=self._hear)
        if course is Course.REPLACE:
            return self._server.replace(release, watch=watch, on_step=self._hear)
        return self._server.switch(release, watch=watch, on_step=self._hear)

    def _interrupted(self, course: Course, before: Release | None) -> None:
        back = "what was before" if course is Course.START or not before else before
        self._tell("interrupted", f"going back to {back}")
        self._server.restore(before, "interrupted", self._tell)
        endings.forget(self._store, "interrupted")

    def _ended(self, moved: Moved, release: Release, before: Release | None) -> Report:
        if moved.kept:
            self._tell(Step.COMMITTING, str(release))
            endings.commit(self._store)
            return self._report(self._wanted, release, before)
        self._tell(Step.RETURNING, moved.reason)
        if release == before:  # it has served: a port in use says nothing against it
            endings.forget(self._store, moved.reason)
        else:
            endings.condemn(self._store, moved.reason, moved.lost)
        return self._report("failed", release, before, moved.reason, moved.lost)

    def _take_back(self, reason: str) -> Report | None:
        """End a switch that another command waits for, or has left behind."""
        entry = self._store.journal.read()
        if entry is None or not self._server.seen().undecided:
            return None
        before = endings.released(entry.facts, "previous")
        why = f"rolled back: {reason}" if reason else "rolled back"
        self._server.restore(before, why, self._tell)
        self._settled = self._settle_soon()
        release = endings.released(entry.facts, "release")
        assert release is not None  # noqa: S101 - it is written with the first step
        return self._report("taken back", release, before, why)

    def _settle_soon(self) -> Settled | None:
        """Let the command that waited end first; what it leaves is ours."""
        limit = self._clock() + _PATIENCE
        while True:
            try:
                return self.settle()
            except ReleaseError:
                if self._clock() > limit:
                    raise
            self._sleep(_LOOK)

    # WHAT IS TOLD

    def _hear(self, name: str, detail: str) -> None:
        if name == Step.WATCHING:
            self._step(Step.WATCHING, detail)
        else:
            self._tell(name, detail)

    def _step(self, step: Step, detail: str) -> None:
        self._store.journal.write(step)
        self._tell(step, detail)
        point(f"release.{step}")

    def _tell(self, name: str, detail: str) -> None:
        at = round(self._clock() - self._began, 3)
        self._stages.append(Stage(str(name), detail, at))
        self._on_step(str(name), detail)

    def _report(
        self,
        result: Result,
        release: Release,
        before: Release | None,
        reason: str = "",
        lost: int = 0,
    ) -> Report:
        return Report(
            result,
            release,
            before,
            reason,
            lost,
            tuple(self._stages),
            self._settled,
            self._who_serves() if result == "failed" else "",
        )

    def _who_serves(self) -> str:
        try:
            seen = self._server.seen()
        except ReleaseError:
            return "what serves cannot be known now"
        if not seen.running:
            return "nothing serves now"
        return f"{seen.release or seen.tree or 'what does not answer'} serves"


def _nothing_before(bad: Release | None, release: Release | None) -> str:
    if bad is None and release is not None:
        return (
            "no release is current, so it is not known what to go back from; activate "
            f"the one that shall serve: pointsman release activate {release}"
        )
    if bad is None:
        return "there is nothing to go back to: no release was ever committed"
    return (
        f"there is nothing to go back to before {bad}: no earlier release is there and "
        "out of quarantine; see pointsman release list"
    )
