"""The pick-up directory: what is dropped is deployed, once, and taken away."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, TextIO

import pytest

from pointsman.cluster import Actor, Contents, Entry, Failed, State
from pointsman.directories import place as places
from pointsman.errors import LedgerError, Refused
from pointsman.sources import pickup, watching
from waiting import wait_for
from watched_site import ACTOR, WatchedSite, only, place

if TYPE_CHECKING:
    from pathlib import Path


def emptied(watched: WatchedSite) -> None:
    """Wait until nothing visible is left but what failed, and nothing is claimed."""

    def is_empty() -> bool:
        claims = watched.pickup / ".pointsman"
        claimed = list(claims.iterdir()) if claims.is_dir() else []
        return watched.visible() in ([], ["failed"]) and not claimed

    wait_for(is_empty, "the directory is empty")


# WHAT GOES IN


@pytest.mark.parametrize("way", ["cp {} {}/", "mv {} {}/", "ln {} {}/crm.py"])
def test_a_file_is_deployed_and_taken_away(watched: WatchedSite, way: str) -> None:
    """However it came: copied, moved, linked."""
    watched.directories()
    source = watched.outside / "crm.py"
    source.write_text("x = 1\n")
    subprocess.run(way.format(source, watched.pickup), shell=True, check=True)
    watched.until_active({"crm": "x = 1\n"})
    emptied(watched)
    assert [] == watched.failed()
    (one,) = watched.generations()
    assert Actor(f"pick-up directory {watched.pickup}", os.uname().nodename) == (
        one.actor
    )
    entry = watched.deployments.active().entries["crm"]
    assert ("crm.py", "push") == (entry.file, entry.source)


def test_a_newer_file_replaces_what_is_served(watched: WatchedSite) -> None:
    """Again and again."""
    watched.directories()
    for number in range(3):
        watched.put("crm.py", f"x = {number}\n")
        watched.until_active({"crm": f"x = {number}\n"})
    emptied(watched)
    assert [State.RETIRED, State.RETIRED, State.ACTIVE] == watched.states()


def test_what_is_served_already_makes_no_generation(watched: WatchedSite) -> None:
    """The file is taken away all the same."""
    watched.directories()
    watched.put("crm.py")
    watched.until_packages("crm")
    watched.put("crm.py")
    emptied(watched)
    assert [State.ACTIVE] == watched.states()


def test_archives_and_modules_go_together(watched: WatchedSite) -> None:
    """The package has the name that its manifest gives it."""
    watched.directories()
    watched.move_in(watched.archive("crm-1.0.sar", "crm"))
    watched.put("shop.py")
    watched.until_packages("crm", "shop")
    emptied(watched)
    assert "1" == watched.deployments.active().entries["crm"].version


def test_files_that_come_together_are_one_proposal(watched: WatchedSite) -> None:
    """Twenty files: one generation."""
    watched.directories()
    files = {f"m{number:02}.py": f"x = {number}\n" for number in range(20)}
    watched.put_all(files)
    watched.until_packages(*(name[:-3] for name in files))
    emptied(watched)
    assert [State.ACTIVE] == watched.states()


def test_what_was_there_before_the_start_is_deployed(watched: WatchedSite) -> None:
    """A server that was down misses nothing."""
    watched.put("crm.py")
    watched.directories()
    watched.until_packages("crm")


def test_a_half_copied_file_waits(watched: WatchedSite) -> None:
    """It is shown as waiting, and deployed when it is closed."""
    directories = watched.directories()
    path = watched.pickup / "crm.py"
    with path.open("w") as file:
        file.write("x = ")
        file.flush()
        wait_for(
            lambda: (
                place(directories)["waiting"] == {"crm.py": "somebody writes to it"}
            ),
            "it waits",
        )
        watched.put("shop.py")
        watched.until_packages("shop")
        file.write("1\n")
    watched.until_active({"crm": "x = 1\n", "shop": "x = 1\n"})


def test_somebody_who_opens_a_claimed_file_gets_it_back(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``cp`` over a file that is just being claimed writes into the claimed one.

    ::

        the directory                         cp new crm.py
        crm.py is closed, and still
                                              open(crm.py, O_TRUNC)
        rename to the claim
        receive: half of the new bytes        write
        somebody writes: back to its place
                                              close
        crm.py is closed, and still: claim, receive the whole

    Broken on purpose: without the look after `receive`, the half was deployed.
    """
    receive, opened = watched.deployments.receive, list[TextIO]()

    def interrupted(file: str, chunks: object, **more: object) -> Entry:
        if not opened:
            (claimed,) = (watched.pickup / ".pointsman").glob("*/crm.py")
            opened.append(claimed.open("w"))
            opened[0].write("x = 2")
            opened[0].flush()
        return receive(file, chunks, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(watched.deployments, "receive", interrupted)
    watched.directories()
    watched.put("crm.py", "x = 1\n")
    wait_for(lambda: opened, "it is claimed")
    wait_for(lambda: "crm.py" in watched.visible(), "it is put back")
    assert {} == watched.active()
    opened[0].write("2\n")
    opened[0].close()
    watched.until_active({"crm": "x = 22\n"})


def test_a_file_that_vanishes_is_no_error(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody takes it back between the look and the claim; the others go on."""
    directories = watched.directories()
    lock_of = watched.ledger.lock_of

    def vanishing() -> object:
        (watched.pickup / "crm.py").unlink(missing_ok=True)
        return lock_of()

    monkeypatch.setattr(watched.ledger, "lock_of", vanishing)
    watched.put_all({"crm.py": "x = 1\n", "shop.py": "x = 1\n"})
    watched.until_packages("shop")
    emptied(watched)
    assert ([], "") == (watched.failed(), place(directories)["trouble"])


def test_strangers_are_told_once(
    watched: WatchedSite, caplog: pytest.LogCaptureFixture
) -> None:
    """In the status for as long as they are there, in the log once."""
    directories = watched.directories()
    (watched.pickup / "README.txt").write_text("hello")
    wait_for(lambda: place(directories)["problems"], "it is told")
    for number in range(3):
        watched.put("crm.py", f"x = {number}\n")
        watched.until_active({"crm": f"x = {number}\n"})
    told = [r for r in caplog.records if "README.txt" in r.getMessage()]
    assert 1 == len(told)
    assert ["README.txt"] == watched.visible()


def test_a_link_is_not_picked_up(watched: WatchedSite) -> None:
    """It would be moved, and lead nowhere then."""
    directories = watched.directories()
    (watched.outside / "crm.py").write_text("x = 1\n")
    (watched.pickup / "crm.py").symlink_to("../outside/crm.py")
    expected = {"crm.py": "it is a link; copy the file itself"}
    wait_for(lambda: place(directories)["problems"] == expected, "it is told")
    assert [] == watched.generations()


# WHAT FAILS


def test_what_fails_moves_away_with_the_reason(watched: WatchedSite) -> None:
    """The node, the generation, the traceback, and what to do stand beside it."""
    watched.directories()
    watched.break_package("crm", reason="ZeroDivisionError: division by zero")
    watched.put("crm.py", "1 / 0\n")
    wait_for(lambda: len(watched.failed()) == 2, "it is in failed")
    emptied(watched)
    assert "1 / 0\n" == (watched.pickup / "failed" / "crm.py").read_text()
    assert (
        "crm.py was not deployed.\n"
        "\n"
        "Reason: ZeroDivisionError: division by zero\n"
        "Node: voter\n"
        "Generation: 1 (see `pointsman show 1`)\n"
        "\n"
        "Traceback of crm\n"
        "\n"
        "What to do: correct it, and copy it into the directory again.\n"
        "What was served before is served still.\n"
    ) == watched.error("crm.py")


def test_those_that_fail_are_taken_out_and_the_rest_goes_on(
    watched: WatchedSite,
) -> None:
    """With all that import them, at any distance, however they write the import."""
    watched.directories()
    watched.break_package("stock")
    watched.put_all(
        {
            "stock.py": "BROKEN\n",
            "shop.py": "def f():\n    from stock import x\n",
            "front.py": "import shop.cart as s\n",
            "crm.py": "import json\n",
        }
    )
    watched.until_packages("crm")
    emptied(watched)
    assert ["front.py", "shop.py", "stock.py"] == [
        name for name in watched.failed() if not name.endswith(".txt")
    ]
    assert "it imports stock, which failed: it breaks" in watched.error("shop.py")
    indirect = "it imports stock by way of others, which failed: it breaks"
    assert indirect in watched.error("front.py")
    assert [State.FAILED, State.ACTIVE] == watched.states()


def test_five_hundred_files_with_three_broken_ones(watched: WatchedSite) -> None:
    """At most three generations; all that is good is served."""
    watched.directories()
    broken = {7, 250, 499}
    many = watched.outside / "many"
    many.mkdir()
    for number in range(500):
        lines = f"import m{number - 1:03}\n" if number % 50 == 8 else ""
        lines += "BROKEN\n" if number in broken else f"x = {number}\n"
        (many / f"m{number:03}.py").write_text(lines)
    watched.break_package(*(f"m{number:03}" for number in broken))
    command = f"cp {many}/*.py {watched.pickup}"
    subprocess.run(command, shell=True, check=True)
    good = {f"m{number:03}" for number in range(500)} - {
        "m007", "m008", "m250", "m499"
    }  # fmt: skip
    wait_for(
        lambda: watched.deployments.active().entries.keys() == good,
        "all good ones are served",
        120,
    )
    emptied(watched)
    assert len(watched.states()) <= 3
    assert ["m007.py", "m008.py", "m250.py", "m499.py"] == [
        name for name in watched.failed() if not name.endswith(".txt")
    ]


def test_after_three_generations_the_rest_waits_for_a_person(
    watched: WatchedSite,
) -> None:
    """A batch of which each generation names one more is not tried for ever."""
    watched.directories()
    order = ["a", "b", "c", "d"]

    def one_at_a_time(contents: Contents) -> tuple[Failed, ...]:
        left = [name for name in order if name in contents.entries]
        return (Failed(left[0], "it breaks"),) if left else ()

    watched.voter.judge = one_at_a_time
    watched.put_all({f"{name}.py": f"x = '{name}'\n" for name in [*order, "good"]})
    wait_for(lambda: len(watched.failed()) == 10, "all are in failed")
    assert [State.FAILED] * 3 == watched.states()
    assert "nothing is known against it" in watched.error("good.py")
    assert "Reason: it breaks" in watched.error("b.py")


def test_who_breaks_others_that_are_served_fails(watched: WatchedSite) -> None:
    """A generation fails in a package that did not change: its imports are to blame."""
    watched.importers = {"stock": {"shop"}}
    watched.directories()
    watched.put("shop.py", "import stock\n")
    watched.until_packages("shop")
    watched.break_when(lambda names: "stock" in names, "shop", "no stock.price")
    watched.put_all({"stock.py": "x = 1\n", "crm.py": "x = 1\n"})
    watched.until_packages("shop", "crm")
    emptied(watched)
    assert ["stock.py", "stock.py.error.txt"] == watched.failed()
    reason = "shop, which imports it, fails with it: no stock.price"
    assert reason in watched.error("stock.py")


def test_only_what_is_refused_fails(watched: WatchedSite) -> None:
    """No artifact, a name that may not be, too large: each with its own sentence."""
    watched.directories()
    large = "x = 1\n" * 2_000_000
    watched.put_all(
        {
            "not-a-zip.sar": "hello\n",
            "my-module.py": "x = 1\n",
            "large.py": large,
            "good.py": "x = 1\n",
        }
    )
    watched.until_packages("good")
    emptied(watched)
    assert ["large.py", "my-module.py", "not-a-zip.sar"] == [
        name for name in watched.failed() if not name.endswith(".txt")
    ]
    assert "an artifact may have 10000000 bytes" in watched.error("large.py")
    assert [State.ACTIVE] == watched.states()


@pytest.mark.parametrize(
    "name",
    [b"pr\xfcfung.py", b"a" * 252 + b".py", ("\u00fc" * 126).encode() + b".py"],
    ids=["Latin-1", "long", "long UTF-8"],
)
def test_an_odd_name_fails_alone(
    watched: WatchedSite, caplog: pytest.LogCaptureFixture, name: bytes
) -> None:
    """What came with it is deployed, and what comes after it; all can be read.

    Broken on purpose: the text, or the numbered name, could not be written, and all
    files were put back, again and again.
    """
    directories = watched.directories()
    odd = os.fsdecode(name)
    for number in range(2):
        watched.put("good.py", f"x = {number}\n")
        (watched.pickup / odd).write_text("x = 1\n")
        watched.until_active({"good": f"x = {number}\n"})
        emptied(watched)
    watched.put("later.py")
    watched.until_packages("good", "later")
    emptied(watched)
    assert "" == place(directories)["trouble"]
    kept, numbered = (n for n in watched.failed() if not n.endswith(".txt"))
    assert f"{kept}.1" == numbered
    texts = {f"{name}.error.txt" for name in (kept, numbered)}
    assert {kept, numbered, *texts} == {*watched.failed()}
    assert kept.endswith(".py")
    assert "is not accepted" in watched.error(kept)
    assert b"is in failed" in caplog.text.encode()  # a log that is UTF-8 can have it


def test_two_long_names_stay_two_in_failed(watched: WatchedSite) -> None:
    """They are cut, and are not taken for one file that failed twice."""
    watched.directories()
    for end in "xy":
        (watched.pickup / f"{'a' * 251}{end}.py").write_text(f"{end} = 1\n")
    wait_for(lambda: len(watched.failed()) == 4, "both are in failed")
    emptied(watched)
    found = [n for n in watched.failed() if n.endswith(".py")]
    texts = {(watched.pickup / "failed" / name).read_text() for name in found}
    assert {"x = 1\n", "y = 1\n"} == texts


def test_one_that_cannot_be_moved_to_failed_holds_up_no_other(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is back in its place, with the reason, until it can be."""
    monkeypatch.setattr(places, "_FIRST", 0.05)
    fail, broken = pickup.PickUp.fail, [True]

    def failing(self: pickup.PickUp, claim: pickup.Claim, name: str, text: str) -> None:
        if broken and name == "my-module.py":
            raise OSError(5, "Input/output error")
        fail(self, claim, name, text)

    monkeypatch.setattr(pickup.PickUp, "fail", failing)
    directories = watched.directories()
    watched.put_all({"my-module.py": "x = 1\n", "good.py": "x = 1\n"})
    watched.until_packages("good")
    trouble = "my-module.py cannot be moved to failed: Input/output error"
    wait_for(lambda: place(directories)["trouble"] == trouble, "it is told")
    wait_for(lambda: "my-module.py" in watched.visible(), "it is back")
    broken.clear()
    emptied(watched)
    assert ["my-module.py", "my-module.py.error.txt"] == watched.failed()


def test_only_what_clashes_fails(watched: WatchedSite) -> None:
    """A package of an archive directory cannot be replaced from here.

    Broken on purpose: who had a word of the sentence for a name failed with it.
    """
    entry = watched.deployments.receive(
        "crm.py", [b"x = 0\n"], source="archives:one/crm.py"
    )
    watched.deployments.deploy([entry], ACTOR)
    watched.until_packages("crm")
    watched.directories()
    others = ["shop", "source", "name"]
    watched.put_all({f"{name}.py": "x = 1\n" for name in ["crm", *others]})
    watched.until_packages("crm", *others)
    emptied(watched)
    assert ["crm.py", "crm.py.error.txt"] == watched.failed()
    assert "crm.py (archives:one/crm.py)" in watched.error("crm.py")
    assert "x = 0\n" == watched.active()["crm"]


def test_one_package_twice(watched: WatchedSite) -> None:
    """The newer file wins, whatever the names are; the other one is told of both."""
    watched.directories()
    new = watched.archive("crm-1.0.sar", "crm", "2")
    old = watched.archive("crm-1.1.sar", "crm", "1")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    watched.move_in(old)
    watched.move_in(new)
    watched.until_packages("crm")
    emptied(watched)
    assert "2" == watched.deployments.active().entries["crm"].version
    assert ["crm-1.1.sar", "crm-1.1.sar.error.txt"] == watched.failed()
    assert (
        "crm-1.1.sar and crm-1.0.sar are both the package crm; crm-1.0.sar is the "
        "newer file and was taken"
    ) in watched.error("crm-1.1.sar")


def test_one_package_twice_at_the_same_time(watched: WatchedSite) -> None:
    """Then the last one by name wins: a module, and an archive of its name."""
    module = watched.outside / "crm.py"
    module.write_text("x = 1\n")
    for path in (module, archive := watched.archive("crm.sar", "crm")):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    watched.move_in(module)
    watched.move_in(archive)
    watched.directories()
    watched.until_packages("crm")
    emptied(watched)
    assert "crm.sar" == watched.deployments.active().entries["crm"].file


def test_what_failed_before_is_kept(watched: WatchedSite) -> None:
    """The newest has the plain name; those before it are numbered, five in all."""
    watched.directories()
    watched.break_source("BROKEN")
    for number in range(7):
        watched.put("crm.py", f"BROKEN = {number}\n")
        wait_for(partial(_has_failed, watched, number), "it failed")
        emptied(watched)
    folder = watched.pickup / "failed"
    assert ["crm.py", *(f"crm.py.{n}" for n in range(1, 5))] == [
        name for name in watched.failed() if not name.endswith(".txt")
    ]
    assert "BROKEN = 6\n" == (folder / "crm.py").read_text()
    assert "BROKEN = 5\n" == (folder / "crm.py.1").read_text()
    assert "BROKEN = 2\n" == (folder / "crm.py.4").read_text()
    assert "Generation: 7" in watched.error("crm.py")
    assert "Generation: 6" in watched.error("crm.py.1")


def _has_failed(watched: WatchedSite, number: int) -> bool:
    return len(watched.states()) > number


def test_who_may_drop_files_may_see_what_failed(watched: WatchedSite) -> None:
    """The folder has the mode of the directory, the text that of the file."""
    watched.pickup.chmod(0o775)
    watched.directories()
    watched.break_package("crm")
    source = watched.outside / "crm.py"
    source.write_text("x = 1\n")
    source.chmod(0o640)
    watched.move_in(source)
    wait_for(lambda: len(watched.failed()) == 2, "it failed")
    folder = watched.pickup / "failed"
    assert 0o775 == folder.stat().st_mode & 0o777
    assert 0o640 == (folder / "crm.py.error.txt").stat().st_mode & 0o777
    assert 0o700 == (watched.pickup / ".pointsman").stat().st_mode & 0o777


# WHAT HAS TO WAIT


def test_while_deployments_are_locked_files_wait(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They stay where they are, the status says why, and then they are deployed."""
    monkeypatch.setattr(places, "_FIRST", 0.05)
    directories = watched.directories()
    watched.ledger.lock(ACTOR, "incident 42")
    watched.put("crm.py")
    expected = "deployments are locked by a test: incident 42"
    wait_for(lambda: place(directories)["trouble"] == expected, "it is told")
    assert (["crm.py"], []) == (watched.visible(), watched.generations())
    watched.ledger.unlock(ACTOR)
    watched.until_packages("crm")
    emptied(watched)
    wait_for(lambda: place(directories)["trouble"] == "", "it is well again")


def test_a_lock_that_comes_in_between_puts_files_back(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is set after the look and before the proposal."""
    monkeypatch.setattr(places, "_FIRST", 0.05)
    refusals = [Refused(423, "Locked", "deployments are locked by somebody")]
    deploy = watched.deployments.deploy

    def locked(*args: object, **more: object) -> object:
        if refusals:
            raise refusals.pop()
        return deploy(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(watched.deployments, "deploy", locked)
    watched.directories()
    watched.put("crm.py")
    watched.until_packages("crm")
    emptied(watched)
    assert [] == watched.failed()


def test_when_the_ledger_cannot_be_used_files_go_back(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are tried again, and deployed once."""
    monkeypatch.setattr(places, "_FIRST", 0.05)
    receive, broken = watched.deployments.receive, [True]

    def failing(*args: object, **more: object) -> Entry:
        if broken:
            raise LedgerError("sqlite:///x", "the disk is full")
        return receive(*args, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(watched.deployments, "receive", failing)
    directories = watched.directories()
    watched.put("crm.py")
    trouble = "the ledger sqlite:///x: the disk is full"
    wait_for(lambda: place(directories)["trouble"] == trouble, "it is told")
    wait_for(lambda: watched.visible() == ["crm.py"], "it is back in its place")
    broken.clear()
    watched.until_packages("crm")
    emptied(watched)
    assert [State.ACTIVE] == watched.states()


@pytest.mark.parametrize("recorded", [True, False])
def test_when_nobody_knows_whether_it_was_proposed(
    watched: WatchedSite,
    monkeypatch: pytest.MonkeyPatch,
    recorded: bool,  # noqa: FBT001
) -> None:
    """The ledger is lost during the proposal: the claim tells, later, what was done.

    Somebody undeploys it meanwhile, if it was.  Broken on purpose: putting the file
    back at once deployed it a second time.
    """
    monkeypatch.setattr(places, "_FIRST", 0.05)
    propose, lost = watched.ledger.propose, [True]

    def losing(*args: object, **more: object) -> object:
        if not lost:
            return propose(*args, **more)  # type: ignore[arg-type]
        lost.clear()
        if recorded:
            propose(*args, **more)  # type: ignore[arg-type]
            watched.until_packages("crm")
            watched.deployments.undeploy(["crm"], ACTOR)
            watched.until_packages()
        raise LedgerError("postgresql://x", "the connection is lost")

    monkeypatch.setattr(watched.ledger, "propose", losing)
    watched.directories()
    watched.put("crm.py")
    wait_for(lambda: watched.states()[-1:] == [State.ACTIVE], "it is decided")
    emptied(watched)
    states = [State.RETIRED, State.ACTIVE] if recorded else [State.ACTIVE]
    assert (states, recorded) == (watched.states(), not watched.active())


def test_a_directory_that_is_missing_is_made(watched: WatchedSite) -> None:
    """For who serves alone: what others may come to use needs another mode."""
    watched.pickup.rmdir()
    directories = watched.directories()
    wait_for(lambda: place(directories)["scanning"], "it is looked at")
    assert 0o700 == watched.pickup.stat().st_mode & 0o777


def test_a_directory_that_is_not_there_is_waited_for(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a share that is mounted late, and when it disappears afterwards."""
    monkeypatch.setattr(watching, "ABSENT", 0.05)
    share = watched.folder / "share"
    path = share / "pickup"
    directories = watched.directories(hot_deploy__pickup_dir=str(path))
    wait_for(lambda: place(directories)["watching"] == "absent", "it is told")
    trouble = "it cannot be read: No such file or directory"
    wait_for(lambda: place(directories)["trouble"] == trouble, "it is told")
    path.mkdir(parents=True)
    watched.put("crm.py", where=path)
    watched.until_packages("crm")
    wait_for(lambda: watched.visible(path) == [], "it is picked up")
    subprocess.run(["rm", "-r", str(share)], check=True)
    wait_for(lambda: place(directories)["watching"] == "absent", "it is told")
    path.mkdir(parents=True)
    watched.put("shop.py", where=path)
    watched.until_packages("crm", "shop")


def test_of_two_processes_one_scans(watched: WatchedSite) -> None:
    """Batches stay whole; when the first is gone, the second takes over."""
    first = watched.directories()
    wait_for(lambda: place(first)["scanning"], "the first scans")
    second = watched.directories("second")
    watched.put_all({"crm.py": "x = 1\n", "shop.py": "x = 1\n"})
    watched.until_packages("crm", "shop")
    assert [State.ACTIVE] == watched.states()
    assert [True, False] == [place(d)["scanning"] for d in (first, second)]
    first.close()
    watched.ledger.leave("voter")
    watched.voter.close()
    wait_for(lambda: place(second)["scanning"], "the second scans")


def test_a_slow_decision_does_not_hold_up_other_directories(
    watched: WatchedSite, tmp_path: Path
) -> None:
    """One directory waits for a vote; the other one's file is claimed meanwhile."""
    other = tmp_path / "other"
    other.mkdir()
    watched.directories(hot_deploy__pickup_dir=f"{watched.pickup}:{other}")
    watched.voter.held.set()
    watched.put("crm.py")
    wait_for(watched.generations, "it is proposed")
    watched.put("shop.py", where=other)
    wait_for(lambda: len(watched.generations()) == 2, "the other is proposed")
    watched.voter.held.clear()
    watched.until_packages("crm", "shop")


def test_a_decision_that_does_not_come_is_ended(watched: WatchedSite) -> None:
    """The generation is taken back after a while, and the file fails."""
    watched.wait = 0.05
    watched.directories()
    watched.voter.held.set()
    watched.put("crm.py")
    wait_for(lambda: len(watched.failed()) == 2, "it failed")
    assert "not decided within 0.05 s, and taken back" in watched.error("crm.py")
    watched.voter.held.clear()


def test_a_full_disk_loses_the_text_and_not_the_file(
    watched: WatchedSite,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The reason is in the log then, and the directory goes on."""

    def full(path: Path, text: str, mode: int) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(pickup, "_write", full)
    watched.directories()
    watched.break_source("BROKEN")
    watched.put("crm.py", "BROKEN\n")
    wait_for(lambda: watched.failed() == ["crm.py"], "it is in failed")
    emptied(watched)
    assert "crm.py.error.txt: No space left on device" in caplog.text
    watched.put("shop.py")
    watched.until_packages("shop")


def test_a_directory_that_cannot_be_written_to_says_so(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files can be read, and not be taken away; nothing is proposed then."""

    def refuse(self: pickup.PickUp, names: object, node: str) -> pickup.Claim:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(pickup.PickUp, "claim", refuse)
    directories = watched.directories()
    watched.put("crm.py")
    trouble = "its files cannot be moved: Permission denied"
    wait_for(lambda: place(directories)["trouble"] == trouble, "it is told")
    assert ([], ["crm.py"]) == (watched.generations(), watched.visible())


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), OSError(5, "Input/output error")]
)
def test_an_error_does_not_end_the_thread(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    """Also one that nobody thought of: it is told, and tried again."""
    monkeypatch.setattr(places, "_FIRST", 0.05)
    lock_of, errors = watched.ledger.lock_of, [error]

    def failing() -> object:
        if errors:
            raise errors.pop()
        return lock_of()

    monkeypatch.setattr(watched.ledger, "lock_of", failing)
    watched.directories()
    watched.put("crm.py")
    watched.until_packages("crm")
    emptied(watched)


_FORKING = """
import os, sys, tempfile
from pathlib import Path
from watched_site import WatchedSite, place
from waiting import wait_for

site = WatchedSite(Path(tempfile.mkdtemp()))
directories = site.directories()
wait_for(lambda: place(directories)["scanning"], "the parent scans")
child = os.fork()
if not child:
    directories.node = "child"
    directories.start()
    wait_for(lambda: place(directories)["watching"] == "notified", "it watches")
    code = 1 if place(directories)["scanning"] else 0
    directories.close()
    os._exit(code)
assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
site.put("crm.py")
site.until_packages("crm")
site.close()
print("well")
"""


def test_after_a_fork_both_processes_watch() -> None:
    """The child has a thread and events of its own; the parent's are left alone."""
    paths = os.pathsep.join(p for p in sys.path if p)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _FORKING],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert "well\n" == done.stdout, done.stderr


# REPORTS AND TRIGGERS


def test_a_scan_tells_what_it_did(watched: WatchedSite) -> None:
    """What is new, what failed, what waits; and nothing the second time."""
    watched.break_package("bad")
    directories = watched.directories(
        hot_deploy__pickup_dir=str(watched.pickup),
        hot_deploy__update_trigger="on-demand",
    )
    wait_for(lambda: place(directories)["scanning"], "it has looked")
    watched.put_all({"good.py": "x = 1\n", "bad.py": "x = 1\n"})
    report = only(directories.scan())
    assert {("good", "added"), ("bad", "failed")} == {
        (one.package, one.status) for one in report.outcomes
    }
    assert ((1, 2), True) == (report.generations, report.failed)
    again = only(directories.scan())
    assert ((), (), False) == (again.outcomes, again.generations, again.failed)


def test_on_demand_nothing_happens_without_a_scan(watched: WatchedSite) -> None:
    """But for the look at the start."""
    watched.put("early.py")
    directories = watched.directories(
        hot_deploy__pickup_dir=str(watched.pickup),
        hot_deploy__update_trigger="on-demand",
    )
    watched.until_packages("early")
    emptied(watched)
    watched.put("late.py")
    assert ["late.py"] == watched.visible()
    directories.scan()
    watched.until_packages("early", "late")


@pytest.mark.parametrize("trigger", ["on-demand", "disabled"])
def test_the_look_at_the_start_may_take_several_turns(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch, trigger: str
) -> None:
    """A slow disk must not leave a batch half taken.

    Mutant: `Turn.wanted` knows of looks that are due only, not of work begun.
    """
    monkeypatch.setattr(places, "SLICE", 0.001)
    receive = watched.deployments.receive

    def slowly(*given: Any, **named: Any) -> Any:
        entry = receive(*given, **named)
        end = time.monotonic() + 0.002
        while time.monotonic() < end:
            pass
        return entry

    monkeypatch.setattr(watched.deployments, "receive", slowly)
    watched.put_all({"one.py": "x = 1\n", "two.py": "x = 2\n"})
    watched.directories(
        hot_deploy__pickup_dir=str(watched.pickup), hot_deploy__update_trigger=trigger
    )
    watched.until_packages("one", "two")


def test_disabled_there_is_one_look_at_the_start(watched: WatchedSite) -> None:
    """A scan leaves the directory out."""
    watched.put("early.py")
    directories = watched.directories(
        hot_deploy__pickup_dir=str(watched.pickup),
        hot_deploy__update_trigger="disabled",
    )
    watched.until_packages("early")
    emptied(watched)
    watched.put("late.py")
    assert () == directories.scan()
    assert ["late.py"] == watched.visible()


def test_polled_a_file_is_found(watched: WatchedSite) -> None:
    """And the directory is not touched more often than asked for."""
    directories = watched.directories(
        hot_deploy__pickup_dir=str(watched.pickup),
        hot_deploy__update_trigger="polled",
        hot_deploy__polling_rate="100ms",
    )
    watched.put("crm.py")
    watched.until_packages("crm")
    emptied(watched)
    assert "polled" == place(directories)["watching"]


def test_a_scan_in_a_process_that_does_not_scan_says_so(watched: WatchedSite) -> None:
    """The one that scans is asked by way of the ledger."""
    first = watched.directories()
    wait_for(lambda: place(first)["scanning"], "the first scans")
    second = watched.directories("second")
    report = only(second.scan())
    assert "another process of the cluster looks at it" == report.elsewhere


# FILES THAT STAY


def keeping(watched: WatchedSite, **more: str) -> dict[str, str]:
    """Return the settings of a pick-up directory whose files stay."""
    return {
        "hot_deploy__pickup_dir": str(watched.pickup),
        "hot_deploy__delete_after_pick_up": "no",
        **more,
    }


def test_files_can_stay_where_they_are(watched: WatchedSite) -> None:
    """They are deployed once for each content, also after a restart."""
    directories = watched.directories(**keeping(watched))
    watched.put("crm.py", "x = 1\n")
    watched.until_active({"crm": "x = 1\n"})
    directories.close()
    entry = watched.deployments.receive("crm.py", [b"x = 0\n"])
    watched.deployments.deploy([entry], ACTOR)
    watched.until_active({"crm": "x = 0\n"})
    again = watched.directories(**keeping(watched))
    assert ((), ()) == (only(again.scan()).outcomes, only(again.scan()).problems)
    assert {"crm": "x = 0\n"} == watched.active()
    watched.put("crm.py", "x = 2\n")
    watched.until_active({"crm": "x = 2\n"})
    assert ["crm.py"] == watched.visible()


def test_a_kept_file_that_is_taken_away_stays_deployed(watched: WatchedSite) -> None:
    """And put in again it is a new wish."""
    directories = watched.directories(**keeping(watched))
    path = watched.put("crm.py", "x = 1\n")
    watched.until_active({"crm": "x = 1\n"})
    path.unlink()
    directories.scan()
    assert {"crm": "x = 1\n"} == watched.active()
    watched.deployments.undeploy(["crm"], ACTOR)
    watched.until_active({})
    watched.put("crm.py", "x = 1\n")
    watched.until_active({"crm": "x = 1\n"})


def test_a_kept_file_that_fails_stays_and_is_told_of(watched: WatchedSite) -> None:
    """The text lies in ``failed``, until the file is corrected."""
    watched.break_source("BROKEN")
    directories = watched.directories(**keeping(watched))
    watched.put("crm.py", "BROKEN\n")
    wait_for(lambda: place(directories)["problems"], "it is told")
    assert {"crm.py": "it breaks"} == place(directories)["problems"]
    assert ["crm.py.error.txt"] == watched.failed()
    assert ["crm.py", "failed"] == watched.visible()
    only(directories.scan())
    assert [State.FAILED] == watched.states()
    watched.put("crm.py", "x = 1\n")
    watched.until_active({"crm": "x = 1\n"})
    wait_for(lambda: watched.failed() == [], "the text is gone")
    assert {} == place(directories)["problems"]


def test_one_package_twice_among_kept_files(watched: WatchedSite) -> None:
    """The newer one is deployed; the older one not later either."""
    directories = watched.directories(
        **keeping(watched, hot_deploy__update_trigger="on-demand")
    )
    new, old = watched.archive("a.sar", "crm", "2"), watched.archive("b.sar", "crm")
    os.utime(old, (1_000_000_000, 1_000_000_000))
    watched.move_in(old)
    watched.move_in(new)
    directories.scan()
    directories.scan()
    assert "2" == watched.deployments.active().entries["crm"].version
    assert [State.ACTIVE] == watched.states()
