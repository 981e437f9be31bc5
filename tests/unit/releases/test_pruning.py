"""Which releases go, and which stay."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pointsman.errors import ReleaseError
from pointsman.releases.layout import Release
from pointsman.releases.listing import Listed
from pointsman.releases.pruning import verdicts


def ready(version: str) -> Listed:
    """Return a release that could be activated."""
    release = Release("a", version)
    return Listed(
        release,
        "ready",
        in_use=False,
        pids=(),
        size=1,
        built_at="2026-11-21T10:00:00.000Z",
        digest="d" * 64,
        reason="",
    )


ONE, TWO, THREE, FOUR = (ready(f"{n}.0") for n in range(1, 5))
ACTIVE = replace(FOUR, state="active", in_use=True, pids=(7, 8))


def kept(*listed: Listed, keep: int = 0, **more: object) -> dict[str, str]:
    """Return what stays, and why."""
    found = verdicts(listed, keep, **more)  # type: ignore[arg-type]
    return {one.release.version: one.reason for one in found if not one.removed}


@pytest.mark.parametrize(
    ("keep", "versions"),
    [
        (0, []),
        (1, ["4.0"]),
        (3, ["2.0", "3.0", "4.0"]),
        (9, ["1.0", "2.0", "3.0", "4.0"]),
    ],
)
def test_the_newest_stay(keep: int, versions: list[str]) -> None:
    """As many as are wanted, by version."""
    assert versions == list(kept(ONE, TWO, THREE, FOUR, keep=keep))


def test_the_one_that_serves_is_one_of_the_newest() -> None:
    """Three are three: what is kept anyway counts."""
    assert ["3.0", "4.0"] == list(kept(ONE, TWO, THREE, ACTIVE, keep=2))


@pytest.mark.parametrize(
    ("one", "reason"),
    [
        (replace(ONE, state="active"), "it is current"),
        (replace(ONE, state="previous"), "it is the previous one"),
        (replace(ONE, in_use=True), "it is in use"),
        (replace(ONE, in_use=True, pids=(7, 8)), "it is in use by pid 7, 8"),
        (replace(ONE, state="broken", digest="", reason="bad"), "it is broken: bad"),
        (
            replace(ONE, state="quarantined", reason="crashed"),
            "it is in quarantine: crashed",
        ),
    ],
)
def test_what_is_never_removed(one: Listed, reason: str) -> None:
    """Old as it is, it stays, and does not count."""
    assert {"1.0": reason, "4.0": "it is one of the newest"} == kept(
        one, TWO, FOUR, keep=1
    )


def test_what_an_activation_names_stays() -> None:
    """It may be the one to go back to."""
    assert {"2.0": "an activation of it is under way"} == kept(
        ONE, TWO, named={"a-2.0", "unknown"}
    )


def test_quarantine_can_be_emptied() -> None:
    """When that is asked for; a good release is not removed in its place."""
    bad = replace(FOUR, state="quarantined", reason="crashed")

    assert ["3.0"] == list(kept(ONE, TWO, THREE, bad, keep=1, quarantined=True))
    assert ["3.0", "4.0"] == list(kept(ONE, TWO, THREE, bad, keep=1))


def test_a_negative_number() -> None:
    """It is refused."""
    with pytest.raises(ReleaseError, match="not -1"):
        verdicts([ONE], -1)
