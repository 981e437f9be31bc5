"""What a process has claimed and left: the next one finishes it, and loses nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pointsman.cluster import State
from pointsman.sources.pickup import CLAIMS, Claim, PickUp
from waiting import wait_for
from watched_site import ACTOR, WatchedSite, place

if TYPE_CHECKING:
    from pathlib import Path

DEAD = "elsewhere:1234:5678:1"


def leave(watched: WatchedSite, *names: str, node: str = DEAD) -> Claim:
    """Claim files as a process does that is killed afterwards."""
    watched.dead.add(DEAD)
    return PickUp(watched.pickup).claim(names, node)


def proposed(watched: WatchedSite, claim: Claim, **sources: str) -> int:
    """Propose what was claimed, as that process did."""
    entries = [
        watched.deployments.receive(f"{name}.py", [source.encode()])
        for name, source in sources.items()
    ]
    done = watched.deployments.deploy(entries, ACTOR, claims=[claim.id])
    return done.number


def finished(watched: WatchedSite) -> None:
    """Wait until nothing is claimed any more."""
    folder = watched.pickup / CLAIMS
    wait_for(lambda: not list(folder.iterdir()), "no claim is left")


def test_what_was_not_proposed_is_put_back(watched: WatchedSite) -> None:
    """And deployed, in the ordinary way."""
    watched.put("crm.py", "x = 1\n")
    leave(watched, "crm.py")
    watched.directories()
    watched.until_active({"crm": "x = 1\n"})
    finished(watched)
    assert ([], []) == (watched.visible(), watched.failed())


def test_a_newer_file_of_the_name_wins(watched: WatchedSite) -> None:
    """The older one was never proposed; it is not lost, but it does not win either."""
    watched.put("crm.py", "x = 1\n")
    leave(watched, "crm.py")
    watched.put("crm.py", "x = 2\n")
    watched.directories()
    watched.until_active({"crm": "x = 2\n"})
    finished(watched)
    assert ["crm.py", "crm.py.error.txt"] == watched.failed()
    assert "x = 1\n" == (watched.pickup / "failed" / "crm.py").read_text()
    reason = "a newer file of this name came before this one was deployed"
    assert reason in watched.error("crm.py")
    assert [State.ACTIVE] == watched.states()


def test_what_was_deployed_is_only_removed(watched: WatchedSite) -> None:
    """A newer upload came after it: putting the file back would undo that.

    Broken on purpose: without asking the ledger for the claim, ``x = 1`` came back.
    """
    watched.put("crm.py", "x = 1\n")
    claim = leave(watched, "crm.py")
    proposed(watched, claim, crm="x = 1\n")
    watched.until_active({"crm": "x = 1\n"})
    newer = watched.deployments.receive("crm.py", [b"x = 2\n"])
    watched.deployments.deploy([newer], ACTOR)
    watched.until_active({"crm": "x = 2\n"})
    watched.directories()
    finished(watched)
    assert {"crm": "x = 2\n"} == watched.active()
    assert ([], []) == (watched.visible(), watched.failed())
    assert 2 == len(watched.states())


def test_what_failed_moves_to_failed_and_the_rest_is_put_back(
    watched: WatchedSite,
) -> None:
    """With the node's traceback, as if nothing had happened in between."""
    watched.break_package("bad")
    watched.put_all({"bad.py": "x = 1\n", "good.py": "x = 1\n"})
    claim = leave(watched, "bad.py", "good.py")
    proposed(watched, claim, bad="x = 1\n", good="x = 1\n")
    wait_for(lambda: watched.states() == [State.FAILED], "it failed")
    watched.directories()
    watched.until_packages("good")
    finished(watched)
    assert ["bad.py", "bad.py.error.txt"] == watched.failed()
    assert "Traceback of bad" in watched.error("bad.py")


def test_what_is_on_its_way_is_waited_for(watched: WatchedSite) -> None:
    """The claim changes its owner, and the file is removed when it is active."""
    watched.voter.held.set()
    watched.put("crm.py", "x = 1\n")
    claim = leave(watched, "crm.py")
    proposed(watched, claim, crm="x = 1\n")
    directories = watched.directories()
    folder = watched.pickup / CLAIMS
    wait_for(
        lambda: [p.name for p in folder.iterdir()] == [f"voter~{claim.id}"],
        "the claim is taken over",
    )
    watched.voter.held.clear()
    watched.until_active({"crm": "x = 1\n"})
    finished(watched)
    assert [State.ACTIVE] == watched.states()
    assert "" == place(directories)["trouble"]


def test_what_was_served_already_is_only_removed(watched: WatchedSite) -> None:
    """Its proposal made no generation; the claim tells the one that had it."""
    done = watched.deployments.receive("crm.py", [b"x = 1\n"])
    watched.deployments.deploy([done], ACTOR)
    watched.until_packages("crm")
    watched.put("crm.py", "x = 1\n")
    claim = leave(watched, "crm.py")
    assert 1 == proposed(watched, claim, crm="x = 1\n")
    watched.directories()
    finished(watched)
    assert ([State.ACTIVE], []) == (watched.states(), watched.visible())


def test_what_nobody_knows_any_more_is_not_deployed_again(
    watched: WatchedSite,
) -> None:
    """Its generation is pruned: it goes to failed, for a person to decide."""
    watched.put("crm.py", "x = 0\n")
    claim = leave(watched, "crm.py")
    proposed(watched, claim, crm="x = 0\n")
    watched.until_active({"crm": "x = 0\n"})
    for number in range(1, 5):
        entry = watched.deployments.receive("crm.py", [f"x = {number}\n".encode()])
        watched.deployments.deploy([entry], ACTOR)
        watched.until_active({"crm": f"x = {number}\n"})
    watched.ledger.prune(2)
    assert watched.ledger.generation(1) is None
    watched.directories()
    finished(watched)
    assert ["crm.py", "crm.py.error.txt"] == watched.failed()
    assert "not kept any more" in watched.error("crm.py")
    assert {"crm": "x = 4\n"} == watched.active()


def test_claims_of_living_nodes_are_left_alone(watched: WatchedSite) -> None:
    """On a shared directory another host may be at work."""
    watched.put("crm.py", "x = 1\n")
    claim = leave(watched, "crm.py", node="other:1:2:3")
    watched.put("shop.py", "x = 1\n")
    watched.directories()
    watched.until_packages("shop")
    assert ["crm.py"] == claim.files()


def test_what_we_lost_track_of_ourselves_is_finished(watched: WatchedSite) -> None:
    """The ledger was lost during a proposal: the claim is ours, and not on its way."""
    watched.put("crm.py", "x = 1\n")
    leave(watched, "crm.py", node="voter")
    watched.directories()
    watched.until_active({"crm": "x = 1\n"})
    finished(watched)


@pytest.mark.parametrize("content", ["x = 2\n", "x = 1\n"])
def test_a_newer_file_stays_when_the_older_one_was_deployed(
    watched: WatchedSite, content: str
) -> None:
    """It is a file of its own, and is deployed, whatever became of the older one."""
    watched.put("crm.py", "x = 1\n")
    claim = leave(watched, "crm.py")
    proposed(watched, claim, crm="x = 1\n")
    watched.until_active({"crm": "x = 1\n"})
    watched.put("crm.py", content)
    watched.directories()
    watched.until_active({"crm": content})
    wait_for(lambda: watched.visible() == [], "it is picked up, too")
    finished(watched)
    assert [] == watched.failed()


# THE FILES THEMSELVES


def test_a_claim_is_named_after_its_node(tmp_path: Path) -> None:
    """Whatever characters that has; and what is no claim is none."""
    (tmp_path / "crm.py").touch()
    files = PickUp(tmp_path)
    made = files.claim(["crm.py", "missing.py"], "my/host~1:2:3")
    (tmp_path / CLAIMS / "something else").mkdir()
    assert [made] == files.claims()
    assert ["crm.py"] == made.files()


def test_putting_back_replaces_nothing(tmp_path: Path) -> None:
    """Also on file systems whose rename cannot be told to do so."""
    files = PickUp(tmp_path)
    (tmp_path / "a.py").write_text("old")
    (tmp_path / "b.py").write_text("old")
    claim = files.claim(["a.py", "b.py"], "node")
    (tmp_path / "a.py").write_text("new")
    assert ["a.py"] == files.put_back(claim)
    assert ["new", "old"] == [(tmp_path / f"{n}.py").read_text() for n in "ab"]
    assert ["a.py"] == claim.files()


def test_a_claim_that_cannot_be_completed_is_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first file is put back when the second cannot be moved."""
    files = PickUp(tmp_path)
    for name in ("a.py", "b.py"):
        (tmp_path / name).touch()
    rename = type(tmp_path).rename

    def refusing(path: Path, target: Path) -> Path:
        if path.name == "b.py":
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(type(tmp_path), "rename", refusing)
    with pytest.raises(PermissionError):
        files.claim(["a.py", "b.py"], "node")
    assert ["a.py", "b.py"] == sorted(p.name for p in tmp_path.glob("*.py"))
    assert [] == files.claims()
