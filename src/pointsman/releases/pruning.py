"""Which releases go, and why the others stay.  Decisions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pointsman.errors import ReleaseError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from pointsman.releases.layout import Release
    from pointsman.releases.listing import Listed


@dataclass(frozen=True, slots=True)
class Pruned:
    """What became of a release, and why; ``freed`` is in bytes."""

    release: Release
    removed: bool
    reason: str
    freed: int = 0


def verdicts(
    listed: Sequence[Listed],
    keep: int,
    *,
    named: Collection[str] = (),
    quarantined: bool = False,
) -> tuple[Pruned, ...]:
    """Decide about each of the releases, which are given in their order.

    The ``keep`` newest that could be activated stay, whatever else they are.  Never
    removed: what runs, is current or previous, or is ``named`` by an activation that
    is under way; what is in quarantine, unless ``quarantined``; and what is broken,
    because nobody can know whether it runs.

    Raises:
        ReleaseError: ``keep`` is negative.

    """
    if keep < 0:
        raise ReleaseError(f"prune keeps 0 releases or more, not {keep}")
    good = [one.release for one in listed if one.digest and not one.reason]
    newest = good[len(good) - min(keep, len(good)) :]
    return tuple(
        _verdict(
            one, newest=one.release in newest, named=named, quarantined=quarantined
        )
        for one in listed
    )


def _verdict(
    one: Listed, *, newest: bool, named: Collection[str], quarantined: bool
) -> Pruned:
    reasons = {
        "it is current": one.state == "active",
        "it is the previous one": one.state == "previous",
        "it is in use" + _by(one.pids): one.in_use,
        "an activation of it is under way": str(one.release) in named,
        f"it is broken: {one.reason}": not one.digest,
        f"it is in quarantine: {one.reason}": (
            bool(one.digest and one.reason) and not quarantined
        ),
        "it is one of the newest": newest,
    }
    kept = next((reason for reason, holds in reasons.items() if holds), "")
    return Pruned(one.release, not kept, kept or "older than those that are kept")


def _by(pids: tuple[int, ...]) -> str:
    return f" by pid {', '.join(map(str, pids))}" if pids else ""
