"""How an activation ends: the release is committed, condemned, or forgotten.  Effects.

Each ending takes what it needs from the journal, and may be done again, whole, by
another command after a kill anywhere in it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pointsman.faults import point
from pointsman.releases.decisions import Step
from pointsman.releases.layout import Release

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pointsman.releases.store import Store


def commit(store: Store) -> None:
    """Record that the release of the journal serves for good.

    What a rollback left behind goes to quarantine.
    """
    facts = store.journal.write(Step.COMMITTING).facts
    release, bad = released(facts, "release"), released(facts, "bad")
    assert release is not None  # noqa: S101 - it is written with the first step
    point("release.committing")
    store.commit(release)
    if bad is not None:
        store.quarantine(bad, facts["reason"])
    what = "activated" if bad is None else "rolled back"
    _record(store, what, release, facts, "forced", "reason")
    store.journal.end()


def condemn(store: Store, reason: str, lost: int = 0) -> None:
    """Put the release of the journal into quarantine; what was before it serves."""
    facts = store.journal.write(Step.RETURNING, reason=reason, lost=lost).facts
    release = released(facts, "release")
    assert release is not None  # noqa: S101 - it is written with the first step
    point("release.returning")
    store.quarantine(release, reason)
    point("release.quarantined")
    _record(store, "failed", release, facts, "forced", "reason", "lost")
    store.journal.end()


def forget(store: Store, reason: str) -> None:
    """Record that nothing came of the activation, and nothing is left of it."""
    entry = store.journal.read()
    if entry is None:
        return
    facts = {**entry.facts, "reason": reason, "step": entry.step}
    release = released(facts, "release")
    _record(store, "not activated", release, facts, "step", "forced", "reason")
    store.journal.end()


def released(facts: Mapping[str, Any], key: str) -> Release | None:
    """Return the release that a fact names, if it names one."""
    text = facts.get(key)
    return Release.parse(text) if text else None


def _record(
    store: Store,
    what: str,
    release: Release | None,
    facts: Mapping[str, Any],
    *keys: str,
) -> None:
    """Log it, once, also when a killed command has logged it before."""
    identity = facts["activation"]
    logged = store.history()
    if any(e.what == what and e.detail.get("activation") == identity for e in logged):
        return
    told = {key: facts[key] for key in ("previous", *keys) if facts.get(key)}
    store.log(what, release, activation=identity, **told)
    point("release.recorded")
