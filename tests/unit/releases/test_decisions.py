"""What an activation does next: every step at which it can be killed, and every server.

Broken on purpose, and seen to fail: `ending` that takes the journal's word for it and
finishes what was *switching*; one that forgets what a server has refused.
"""

from __future__ import annotations

import itertools

import pytest

from pointsman.releases.decisions import Course, Ending, Step, course, ending
from pointsman.releases.layout import Release
from pointsman.releases.server import Seen

OLD, NEW, THIRD = (Release("site", version) for version in ("1.0", "2.0", "3.0"))
NOBODY = Seen()
STRANGER = Seen(running=True, tree="/home/somebody/src")
DEAF = Seen(running=True, deaf=True)


def serves(release: Release, **more: object) -> Seen:
    """Return what is seen of a server that runs from a release."""
    return Seen(running=True, release=release, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("seen", "current", "expected"),
    [
        (NOBODY, None, Course.START),
        (NOBODY, OLD, Course.START),
        (NOBODY, NEW, Course.START),
        (STRANGER, None, Course.HAND_OVER),
        (serves(OLD), OLD, Course.HAND_OVER),
        (serves(OLD), NEW, Course.HAND_OVER),
        (serves(NEW), OLD, Course.COMMIT),
        (serves(NEW), None, Course.COMMIT),
        (serves(NEW), NEW, Course.NOTHING),
        (DEAF, OLD, Course.REFUSE),
    ],
)
def test_how_a_release_gets_to_serve(
    seen: Seen, current: Release | None, expected: Course
) -> None:
    """What serves now, and what is recorded, say how it goes."""
    assert expected == course(NEW, current, seen, urgent=False)


def test_a_rollback_ends_who_is_deaf() -> None:
    """Going back is possible also when the server answers nothing any more."""
    assert Course.REPLACE == course(OLD, NEW, DEAF, urgent=True)


# What the server may say after the command was killed, at each step, and how it ends.
# decides: paster, which ends a switch itself; else Apache, which does not.
_SEEN = {
    "nobody": NOBODY,
    "before": serves(OLD),
    "target": serves(NEW),
    "refused": serves(OLD, refused=NEW),
    "refused another": serves(OLD, refused=THIRD),
    "a third": serves(THIRD),
    "a stranger": STRANGER,
    "undecided": serves(OLD, undecided=True),
}
_DECIDING = {
    Step.PROVING: dict.fromkeys(_SEEN, Ending.FORGET),
    Step.SWITCHING: {
        **dict.fromkeys(_SEEN, Ending.FORGET),
        "target": Ending.FINISH,
        "refused": Ending.CONDEMN,
        "undecided": Ending.AWAIT,
    },
    Step.WATCHING: {
        **dict.fromkeys(_SEEN, Ending.FORGET),
        "target": Ending.FINISH,
        "refused": Ending.CONDEMN,
        "undecided": Ending.AWAIT,
    },
    Step.COMMITTING: {
        **dict.fromkeys(_SEEN, Ending.FORGET),
        "nobody": Ending.FINISH,
        "target": Ending.FINISH,
        "undecided": Ending.AWAIT,
    },
    Step.RETURNING: {
        **dict.fromkeys(_SEEN, Ending.CONDEMN),
        "undecided": Ending.AWAIT,
    },
}


@pytest.mark.parametrize(("step", "name"), list(itertools.product(Step, _SEEN)))
def test_killed_while_a_server_decides(step: Step, name: str) -> None:
    """What really serves wins over what the journal says was about to be done."""
    found = ending(step, NEW, _SEEN[name], decides=True)

    assert _DECIDING[step][name] == found


@pytest.mark.parametrize("step", [Step.SWITCHING, Step.WATCHING])
def test_killed_while_nobody_watches(step: Step) -> None:
    """A server that does not decide is set back: nobody has watched to the end."""
    assert Ending.RESTORE == ending(step, NEW, serves(NEW), decides=False)
    assert Ending.FORGET == ending(step, NEW, serves(OLD), decides=False)
    assert Ending.FORGET == ending(step, NEW, NOBODY, decides=False)


def test_killed_after_the_watch() -> None:
    """What has passed its watch is committed, whoever watched."""
    found = ending(Step.COMMITTING, NEW, serves(NEW), decides=False)

    assert Ending.FINISH == found
