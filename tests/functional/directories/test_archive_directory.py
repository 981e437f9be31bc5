"""The archive directory: what is in it is what is deployed, unless it is in doubt."""

from __future__ import annotations

import subprocess
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pointsman.cluster import Sighting, State
from pointsman.directories import mirrored
from pointsman.directories import place as places
from pointsman.directories.standing import Standing
from pointsman.errors import LedgerError
from waiting import wait_for
from watched_site import ACTOR, WatchedSite, only, place

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pointsman.directories import Directories
    from pointsman.sources.arrivals import Look

CONFIRM = "Bring it back, or confirm with `pointsman reload --confirm-removals`"


@pytest.fixture(autouse=True)
def _short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Believe after a tenth of a second that a file is gone."""
    monkeypatch.setattr(mirrored, "GRACE", 0.1)


def filled(watched: WatchedSite, count: int = 5) -> Directories:
    """Watch the directory, with so many packages in it that are served."""
    names = [f"m{number}" for number in range(count)]
    watched.put_all({f"{n}.py": f"x = '{n}'\n" for n in names}, watched.archives)
    directories = watched.mirror()
    watched.until_packages(*names)
    directories.scan()
    return directories


def held(directories: Directories) -> str:
    """Wait until a directory is held; return the reason."""
    return str(wait_for(lambda: place(directories)["held"], "it is held"))


# THE DESIRED STATE


@pytest.mark.parametrize(
    ("directory", "given"),
    [
        ("archives__location", {"archives__update_trigger": "polled"}),
        (
            "hot_deploy__pickup_dir",
            {
                "hot_deploy__update_trigger": "polled",
                "hot_deploy__delete_after_pick_up": "no",
            },
        ),
    ],
    ids=["archives", "kept pick-up"],
)
def test_nothing_is_proposed_while_nothing_changes(
    watched: WatchedSite,
    monkeypatch: pytest.MonkeyPatch,
    directory: str,
    given: dict[str, str],
) -> None:
    """However often it is looked at: also by the next process, which has to compare."""
    looks: list[object] = []
    work = Standing.work

    def counted(self: Standing, look: Look) -> Iterator[None]:
        looks.append(look)
        return work(self, look)

    monkeypatch.setattr(Standing, "work", counted)
    watched.put_all({"a.py": "x = 1\n", "b.py": "import a\n"}, watched.archives)
    rate = f"{directory.partition('__')[0]}__polling_rate"
    strings = {directory: str(watched.archives), rate: "10ms", **given}
    first = watched.directories(**strings)
    watched.until_packages("a", "b")
    wait_for(lambda: len(looks) > 30, "it is looked at")
    first.close()
    seen = len(looks)
    watched.directories("voter", **strings)
    wait_for(lambda: len(looks) > seen + 30, "it is looked at again")

    assert 1 == len(watched.generations())
    assert 1 == sum(one.what == "deploy" for one in watched.ledger.events(limit=100))


def test_add_replace_and_remove(watched: WatchedSite) -> None:
    """Each is one generation; the source tells directory and file."""
    directories = watched.mirror()
    watched.put("crm.py", "x = 1\n", watched.archives)
    watched.until_active({"crm": "x = 1\n"})
    entry = watched.deployments.active().entries["crm"]
    assert "archives:one/crm.py" == entry.source
    watched.put("shop.py", "x = 1\n", watched.archives)
    watched.until_packages("crm", "shop")
    watched.put("crm.py", "x = 2\n", watched.archives)
    watched.until_active({"crm": "x = 2\n", "shop": "x = 1\n"})
    (watched.archives / "shop.py").unlink()
    watched.until_active({"crm": "x = 2\n"})
    assert ["crm.py"] == watched.visible(watched.archives)
    assert 4 == len(watched.states())
    assert {} == place(directories)["differs"]


def test_changes_that_come_together_are_one_proposal(watched: WatchedSite) -> None:
    """Something new, something replaced, something gone."""
    filled(watched, 3)
    generations = len(watched.states())
    script = "cp new.py m0.py {}; rm {}/m1.py".format(*[watched.archives] * 2)
    (watched.outside / "new.py").write_text("x = 'new'\n")
    (watched.outside / "m0.py").write_text("x = 'other'\n")
    subprocess.run(script, shell=True, check=True, cwd=watched.outside)
    watched.until_active(
        {"new": "x = 'new'\n", "m0": "x = 'other'\n", "m2": "x = 'm2'\n"}
    )
    # The removal is believed a moment later than the rest.
    assert len(watched.states()) <= generations + 2


def test_same_content_again_is_nothing(watched: WatchedSite) -> None:
    """Touched, or copied once more: no generation, and after a restart neither."""
    directories = filled(watched, 2)
    before = watched.states()
    watched.put("m0.py", "x = 'm0'\n", watched.archives)
    (watched.archives / "m1.py").touch()
    assert () == only(directories.scan()).generations
    directories.close()
    again = watched.mirror()
    assert () == only(again.scan()).generations
    assert before == watched.states()


def test_an_archive_of_another_name_is_an_update(watched: WatchedSite) -> None:
    """``crm-1.0.sar`` goes and ``crm-1.1.sar`` comes: the package never goes."""
    watched.mirror()
    watched.move_in(watched.archive("crm-1.0.sar", "crm", "1"), watched.archives)
    watched.until_packages("crm")
    (watched.archives / "crm-1.0.sar").unlink()
    watched.move_in(watched.archive("crm-1.1.sar", "crm", "2"), watched.archives)
    wait_for(
        lambda: watched.deployments.active().entries["crm"].version == "2",
        "the new one is served",
    )
    wait_for(
        lambda: [s.file for s in watched.ledger.sightings("one")] == ["crm-1.1.sar"],
        "the old file is struck off",
    )
    assert [State.RETIRED, State.ACTIVE] == watched.states()


# A FILE THAT BECOMES ANOTHER PACKAGE


def becoming(watched: WatchedSite, *more: str) -> Directories:
    """Watch the directory with an archive, *alpha*, and replace that by *beta*."""
    watched.move_in(watched.archive("x.sar", "alpha"), watched.archives)
    watched.put_all({f"{name}.py": "x = 1\n" for name in more}, watched.archives)
    directories = watched.mirror()
    watched.until_packages("alpha", *more)
    directories.scan()
    watched.move_in(watched.archive("x.sar", "beta"), watched.archives)
    return directories


def recorded(watched: WatchedSite) -> dict[str, str]:
    """Return the packages that files are recorded with."""
    return {one.file: one.package for one in watched.ledger.sightings("one")}


def test_a_file_that_becomes_another_package(watched: WatchedSite) -> None:
    """What it was goes, in the same generation; with the file the new one goes.

    Broken on purpose: *alpha* was served for ever.
    """
    directories = becoming(watched, "other")
    watched.until_packages("beta", "other")
    assert [State.RETIRED, State.ACTIVE] == watched.states()
    assert {"x.sar": "beta", "other.py": "other"} == recorded(watched)
    directories.scan()
    assert {} == place(directories)["problems"]
    (watched.archives / "x.sar").unlink()
    watched.until_packages("other")


def test_two_files_that_change_their_packages(watched: WatchedSite) -> None:
    """Nothing is taken away that another file of the directory has."""
    for name, package in (("x.sar", "alpha"), ("y.sar", "beta")):
        watched.move_in(watched.archive(name, package, "1"), watched.archives)
    watched.mirror()
    watched.until_packages("alpha", "beta")
    for name, package in (("x.sar", "beta"), ("y.sar", "alpha")):
        watched.move_in(watched.archive(name, package, "2"), watched.archives)
    wait_for(
        lambda: recorded(watched) == {"x.sar": "beta", "y.sar": "alpha"},
        "both are recorded",
    )
    wait_for(
        lambda: (
            {n: e.file for n, e in watched.deployments.active().entries.items()}
            == {"alpha": "y.sar", "beta": "x.sar"}
        ),
        "both are served",
    )
    removed = [c for g in watched.generations() for c in g.changes if c.entry is None]
    assert [] == removed


def test_a_new_package_that_fails_leaves_what_the_file_was(
    watched: WatchedSite,
) -> None:
    """It is tried once; what the file was is not forgotten, also by the next process.

    It goes with the file, or when the next content is served.
    """
    watched.break_package("beta")
    directories = becoming(watched, "other")
    wait_for(lambda: place(directories)["problems"], "it is told")
    assert {"x.sar": "it breaks"} == place(directories)["problems"]
    assert {"alpha", "other"} == watched.active().keys()
    tried = len(watched.states())
    directories.scan()
    directories.close()
    again = watched.mirror()
    again.scan()
    assert tried == len(watched.states())
    assert {"x.sar": "alpha", "other.py": "other"} == recorded(watched)
    watched.break_package()
    watched.move_in(watched.archive("x.sar", "beta", "2"), watched.archives)
    watched.until_packages("beta", "other")


def test_a_new_package_that_failed_goes_with_what_the_file_was(
    watched: WatchedSite,
) -> None:
    """The file is gone, and so is what still served from it."""
    watched.break_package("beta")
    directories = becoming(watched, "other")
    wait_for(lambda: place(directories)["problems"], "it is told")
    (watched.archives / "x.sar").unlink()
    watched.until_packages("other")


def test_what_others_import_keeps_a_file_from_becoming_another_package(
    watched: WatchedSite,
) -> None:
    """Both or none: it is told, and tried again when something else has changed."""
    watched.break_when(
        lambda names: "other" in names and "alpha" not in names,
        "alpha",
        "other imports it",
    )
    directories = becoming(watched, "other", "more")
    wait_for(lambda: place(directories)["problems"], "it is told")
    assert {"x.sar": "other imports it"} == place(directories)["problems"]
    tried = len(watched.states())
    directories.scan()
    assert tried == len(watched.states())
    assert {"alpha", "more", "other"} == watched.active().keys()
    (watched.archives / "other.py").unlink()
    watched.until_packages("beta", "more")


def test_a_new_package_that_clashes_leaves_what_the_file_was(
    watched: WatchedSite,
) -> None:
    """The name belongs to an upload; when that goes, the file becomes it."""
    entry = watched.deployments.receive("beta.py", [b"x = 0\n"])
    watched.deployments.deploy([entry], ACTOR)
    watched.until_packages("beta")
    watched.move_in(watched.archive("x.sar", "alpha"), watched.archives)
    directories = watched.mirror()
    watched.until_packages("alpha", "beta")
    watched.move_in(watched.archive("x.sar", "beta"), watched.archives)
    wait_for(lambda: place(directories)["problems"], "it is told")
    directories.scan()
    assert {"alpha", "beta"} == watched.active().keys()
    watched.deployments.undeploy(["beta"], ACTOR)
    watched.until_packages("alpha")
    directories.scan()
    watched.until_packages("beta")


def test_files_that_become_other_packages_count_as_lost(watched: WatchedSite) -> None:
    """Most of a directory is not taken away without a question in this way either."""
    directories = watched.mirror(archives__update_trigger="on-demand")
    for word in ("old", "new"):
        for number in range(3):
            made = watched.archive(f"{number}.sar", f"{word}{number}")
            watched.move_in(made, watched.archives)
        report = only(directories.scan())
        assert {"old0", "old1", "old2"} == watched.active().keys()
    assert "it has lost 3 of 3 packages at once" in report.held
    directories.scan(confirm_removals=True)
    watched.until_packages("new0", "new1", "new2")


def test_a_file_that_is_gone_for_a_moment_is_not_undeployed(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who replaces it by removing it first must not lose requests in between.

    Broken on purpose: without the grace there were two generations more.
    """
    monkeypatch.setattr(mirrored, "GRACE", 3.0)
    directories = filled(watched, 2)
    before = len(watched.states())
    path = watched.archives / "m0.py"
    path.unlink()
    (one,) = directories._places
    assert isinstance(one, mirrored.ArchiveDirectory)
    wait_for(lambda: one._gone, "it is seen to be gone")
    watched.put("m0.py", "x = 'new'\n", watched.archives)
    watched.until_active({"m0": "x = 'new'\n", "m1": "x = 'm1'\n"})
    assert before + 1 == len(watched.states())


def test_links_of_a_config_map_are_followed(watched: WatchedSite) -> None:
    """All files change at once when the one link does."""
    root = watched.archives
    for number in (1, 2):
        (root / f"..v{number}").mkdir()
        (root / f"..v{number}" / "crm.py").write_text(f"x = {number}\n")
    (root / "..data").symlink_to("..v1")
    (root / "crm.py").symlink_to("..data/crm.py")
    watched.mirror()
    watched.until_active({"crm": "x = 1\n"})
    (root / "..tmp").symlink_to("..v2")
    (root / "..tmp").rename(root / "..data")
    watched.until_active({"crm": "x = 2\n"})


# WHAT FAILS


def test_a_file_that_fails_leaves_the_old_version(watched: WatchedSite) -> None:
    """It is told, and not tried again until it changes; not after a restart either."""
    watched.break_source("BROKEN")
    directories = filled(watched, 2)
    watched.put("m0.py", "BROKEN\n", watched.archives)
    wait_for(lambda: place(directories)["problems"], "it is told")
    assert {"m0.py": "it breaks"} == place(directories)["problems"]
    assert "x = 'm0'\n" == watched.active()["m0"]
    tried = len(watched.states())
    report = only(directories.scan())
    assert ["it breaks"] == [problem.reason for problem in report.problems]
    directories.close()
    again = watched.mirror()
    report = only(again.scan())
    assert ["it breaks"] == [problem.reason for problem in report.problems]
    assert tried == len(watched.states())
    watched.put("m0.py", "x = 'repaired'\n", watched.archives)
    watched.until_active({"m0": "x = 'repaired'\n", "m1": "x = 'm1'\n"})
    assert {} == place(again)["problems"]


def test_the_rest_goes_on_without_those_that_fail(watched: WatchedSite) -> None:
    """And without what imports them."""
    watched.break_source("BROKEN")
    directories = watched.mirror()
    sources = {"a.py": "BROKEN\n", "b.py": "import a\n", "c.py": "x = 1\n"}
    watched.put_all(sources, watched.archives)
    watched.until_packages("c")
    assert {
        "a.py": "it breaks",
        "b.py": "it imports a, which failed: it breaks",
    } == place(directories)["problems"]


def test_what_is_no_package_is_a_problem(watched: WatchedSite) -> None:
    """It hides nothing else; a text tells it after a restart, too."""
    watched.put("crm.sar", "no zip\n", watched.archives)
    watched.put("shop.py", "x = 1\n", watched.archives)
    directories = watched.mirror()
    watched.until_packages("shop")
    wait_for(lambda: place(directories)["problems"], "it is told")
    assert "is no zip file" in place(directories)["problems"]["crm.sar"]


def test_one_package_in_two_files(watched: WatchedSite) -> None:
    """The recorded one keeps it, else the first by name; both are named.

    When the one goes, the other takes over, and nothing is undeployed in between.
    """
    watched.move_in(watched.archive("b.sar", "crm", "2"), watched.archives)
    directories = watched.mirror()
    watched.until_packages("crm")
    watched.move_in(watched.archive("a.sar", "crm", "1"), watched.archives)
    problem = (
        "a.sar and b.sar are both the package crm, and b.sar keeps it; take one of "
        "them away"
    )
    wait_for(lambda: place(directories)["problems"] == {"a.sar": problem}, "it is told")
    assert [State.ACTIVE] == watched.states()
    (watched.archives / "b.sar").unlink()
    wait_for(
        lambda: watched.deployments.active().entries["crm"].file == "a.sar",
        "the other one is served",
    )
    wait_for(lambda: place(directories)["problems"] == {}, "nothing is wrong")
    assert [State.RETIRED, State.ACTIVE] == watched.states()


def test_a_package_that_was_pushed_keeps_its_name(watched: WatchedSite) -> None:
    """Both origins are told; when the pushed one goes, the file is deployed."""
    entry = watched.deployments.receive("crm.py", [b"x = 0\n"])
    watched.deployments.deploy([entry], ACTOR)
    watched.until_packages("crm")
    directories = watched.mirror()
    watched.put("crm.py", "x = 1\n", watched.archives)
    wait_for(lambda: place(directories)["problems"], "it is told")
    assert (
        "is served from crm.py (push) and keeps the name"
        in (place(directories)["problems"]["crm.py"])
    )
    assert [State.ACTIVE] == watched.states()
    watched.deployments.undeploy(["crm"], ACTOR)
    watched.until_active({})
    directories.scan()
    watched.until_active({"crm": "x = 1\n"})


def test_a_removal_that_is_refused_is_not_tried_for_ever(watched: WatchedSite) -> None:
    """Others import it: the package stays, and goes when something else has changed."""
    directories = filled(watched, 4)
    watched.break_when(
        lambda names: "m1" in names and "m0" not in names, "m0", "m1 imports it"
    )
    (watched.archives / "m0.py").unlink()
    wait_for(lambda: place(directories)["problems"], "it is told")
    assert {"m0.py": "m1 imports it"} == place(directories)["problems"]
    tried = len(watched.states())
    directories.scan()
    assert tried == len(watched.states())
    (watched.archives / "m1.py").unlink()
    watched.until_packages("m2", "m3")


# HELD


def test_a_directory_that_disappears_is_held(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unmounted share must not undeploy a cluster; it goes on when it is back."""
    from pointsman.sources import watching

    monkeypatch.setattr(watching, "ABSENT", 0.05)
    directories = filled(watched, 2)
    before = watched.states()
    watched.archives.rename(watched.folder / "elsewhere")
    told = f"held: it is not there; m0, m1 would be taken away.  {CONFIRM}"
    assert told == held(directories)
    assert before == watched.states()
    (watched.folder / "elsewhere").rename(watched.archives)
    wait_for(lambda: place(directories)["held"] == "", "it goes on")
    assert before == watched.states()
    watched.put("m0.py", "x = 'new'\n", watched.archives)
    watched.until_active({"m0": "x = 'new'\n", "m1": "x = 'm1'\n"})


def test_a_directory_that_is_suddenly_empty_is_held(watched: WatchedSite) -> None:
    """Even if there was only one file in it; a confirmation lets it go.

    Broken on purpose: without this rule everything was undeployed at once.
    """
    directories = filled(watched, 1)
    (watched.archives / "m0.py").unlink()
    told = f"held: it is suddenly empty; m0 would be taken away.  {CONFIRM}"
    assert told == held(directories)
    report = only(directories.scan())
    assert (told, True) == (report.held, report.failed)
    assert ["m0"] == list(watched.active())
    report = only(directories.scan(confirm_removals=True))
    assert [("m0", "removed")] == [(o.package, o.status) for o in report.outcomes]
    assert ("", {}) == (report.held, watched.active())


def test_a_directory_that_is_gone_can_be_confirmed(watched: WatchedSite) -> None:
    """Then all of its packages go."""
    directories = filled(watched, 3)
    subprocess.run(["rm", "-r", str(watched.archives)], check=True)
    held(directories)
    directories.scan(confirm_removals=True)
    assert {} == watched.active()


def test_a_directory_that_loses_most_of_its_files_is_held(watched: WatchedSite) -> None:
    """Until all are back: half of them on their way back are not the answer.

    Broken on purpose: judged anew at each look, the last two files were taken away
    as soon as the third was back.
    """
    directories = filled(watched, 5)
    before = watched.states()
    for number in range(3):
        (watched.archives / f"m{number}.py").rename(watched.outside / f"m{number}.py")
    assert "it has lost 3 of 5 packages at once" in held(directories)
    for number in range(2):
        watched.move_in(watched.outside / f"m{number}.py", watched.archives)
        seen = number + 3
        wait_for(partial(_sees, directories, seen), "it is seen")
        directories.scan()
        assert place(directories)["held"]
    watched.move_in(watched.outside / "m2.py", watched.archives)
    wait_for(lambda: place(directories)["held"] == "", "it goes on")
    assert before == watched.states()


def _sees(directories: Directories, count: int) -> bool:
    return bool(place(directories)["files"] == count)


def test_two_files_may_go_at_once(watched: WatchedSite) -> None:
    """Also when those are over half of all."""
    filled(watched, 3)
    (watched.archives / "m0.py").unlink()
    (watched.archives / "m1.py").unlink()
    watched.until_packages("m2")


def test_another_device_in_its_place_is_held(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One file less there is an unmounted share; all of them are a new disk."""
    directories = filled(watched, 5)
    (one,) = directories._places
    assert isinstance(one, mirrored.ArchiveDirectory)
    one._device = 4711  # where it lay when it was last believed
    (watched.archives / "m0.py").rename(watched.outside / "m0.py")
    assert "it lies on another device than before, and not all is there" in (
        held(directories)
    )
    before = watched.states()
    watched.move_in(watched.outside / "m0.py", watched.archives)
    wait_for(lambda: place(directories)["held"] == "", "it goes on")
    assert before == watched.states()
    (watched.archives / "m1.py").unlink()
    watched.until_packages("m0", "m2", "m3", "m4")


def test_what_is_held_changes_nothing_else(watched: WatchedSite) -> None:
    """What lies under the mount point is not deployed either."""
    directories = filled(watched, 4)
    before = watched.states()
    share = watched.folder / "share"
    watched.archives.rename(share)
    watched.archives.mkdir()
    watched.put("junk.py", "x = 1\n", watched.archives)
    assert "it has lost 4 of 4 packages at once" in held(directories)
    directories.scan()
    assert before == watched.states()


# SEVERAL NODES


def test_two_directories_updated_one_after_the_other(
    watched: WatchedSite, tmp_path: Path
) -> None:
    """One generation per content; a third with an empty directory changes nothing."""
    folders = {name: tmp_path / name for name in ("here", "there", "empty")}
    for folder in folders.values():
        folder.mkdir()
    one, two = (
        watched.mirror(node, archives__location=str(folders[name]), archives__id=name)
        for node, name in (("voter", "here"), ("second", "there"))
    )
    for number in range(3):
        source = f"x = {number}\n"
        watched.put("crm.py", source, folders["here"])
        watched.until_active({"crm": source})
        one.scan()
        two.scan()
        watched.put("crm.py", source, folders["there"])
        assert () == only(two.scan()).problems
        wait_for(
            lambda: (
                [s.digest for s in watched.ledger.sightings("there")]
                == [watched.deployments.active().entries["crm"].digest]
            ),
            "the second is recorded, too",
        )
    third = watched.mirror(
        "third", archives__location=str(folders["empty"]), archives__id="empty"
    )
    assert ((), "") == (only(third.scan()).outcomes, only(third.scan()).held)
    assert [State.RETIRED, State.RETIRED, State.ACTIVE] == watched.states()
    (folders["here"] / "crm.py").unlink()
    (folders["there"] / "crm.py").unlink()


def test_a_node_that_lags_behind_says_so(watched: WatchedSite, tmp_path: Path) -> None:
    """Its directory has the old content, which is not deployed over the new one."""
    other = tmp_path / "other"
    other.mkdir()
    watched.put("crm.py", "x = 1\n", watched.archives)
    watched.put("crm.py", "x = 1\n", other)
    first = watched.mirror()
    second = watched.mirror("second", archives__location=str(other), archives__id="two")
    watched.until_packages("crm")
    first.scan()
    second.scan()
    watched.put("crm.py", "x = 2\n", watched.archives)
    watched.until_active({"crm": "x = 2\n"})
    second.scan()
    assert "x = 2\n" == watched.active()["crm"]
    assert {
        "crm.py": "another crm is served, from crm.py (archives:one/crm.py): this one "
        "failed, or was replaced or rolled back"
    } == place(second)["differs"]


def test_a_file_that_does_not_serve_takes_nothing_away(
    watched: WatchedSite, tmp_path: Path
) -> None:
    """The other directory of the node has the package too, and that one serves."""
    other = tmp_path / "other"
    other.mkdir()
    watched.put_all({"crm.py": "x = 1\n", "shop.py": "x = 1\n"}, watched.archives)
    watched.put_all({"crm.py": "x = 2\n", "stock.py": "x = 1\n"}, other)
    directories = watched.mirror(
        archives__location=f"{watched.archives}\n{other}", archives__id="one\ntwo"
    )
    watched.until_packages("crm", "shop", "stock")
    directories.scan()
    source = watched.deployments.active().entries["crm"].source
    places = {"one": watched.archives, "two": other}
    serves = places.pop(source.removeprefix("archives:").partition("/")[0])
    ((name, idle),) = places.items()
    (idle / "crm.py").unlink()
    wait_for(
        lambda: "crm.py" not in [s.file for s in watched.ledger.sightings(name)],
        "it is struck off",
    )
    directories.scan()
    assert source == watched.deployments.active().entries["crm"].source
    (serves / "crm.py").unlink()
    watched.until_packages("shop", "stock")


def test_what_is_rolled_back_stays_so(watched: WatchedSite) -> None:
    """The file has not changed, so nothing is proposed; not after a restart either."""
    directories = watched.mirror()
    for number in (1, 2):
        watched.put("crm.py", f"x = {number}\n", watched.archives)
        watched.until_active({"crm": f"x = {number}\n"})
    watched.deployments.rollback("crm", ACTOR)
    watched.until_active({"crm": "x = 1\n"})
    directories.scan()
    directories.close()
    again = watched.mirror()
    again.scan()
    assert {"crm": "x = 1\n"} == watched.active()
    assert ["crm.py"] == list(place(again)["differs"])


@pytest.mark.parametrize("was", ["pushed", "kept"])
def test_a_rollback_to_another_kind_of_source_stays_so(
    watched: WatchedSite, was: str
) -> None:
    """A whole generation comes back, and the directory proposes nothing against it."""
    deployments = watched.deployments
    if was == "kept":
        watched.put("crm.py", "x = 1\n", watched.archives)
        directories = watched.mirror()
        watched.until_packages("crm")
        deployments.undeploy(["crm"], ACTOR)
        watched.until_active({})
        deployments.deploy([deployments.receive("crm.py", [b"x = 2\n"])], ACTOR)
        watched.until_active({"crm": "x = 2\n"})
    else:
        deployments.deploy([deployments.receive("crm.py", [b"x = 1\n"])], ACTOR)
        watched.until_packages("crm")
        deployments.undeploy(["crm"], ACTOR)
        watched.until_active({})
        watched.put("crm.py", "x = 2\n", watched.archives)
        directories = watched.mirror()
        watched.until_active({"crm": "x = 2\n"})
    directories.scan()

    deployments.rollback_to(1, ACTOR)

    watched.until_active({"crm": "x = 1\n"})
    for _ in range(2):
        directories.scan()
    assert {"crm": "x = 1\n"} == watched.active()
    assert "rollback" == watched.generations()[-1].what


# WHAT OTHERS HAVE LEFT


def test_a_batch_that_a_dead_process_left_is_finished(watched: WatchedSite) -> None:
    """It was proposed and failed; nobody was there to propose the rest again.

    Broken on purpose: without the look into the history, *good* was recorded as seen
    and never deployed.
    """
    watched.break_source("BROKEN")
    watched.put("bad.py", "BROKEN\n", watched.archives)
    watched.put("good.py", "x = 1\n", watched.archives)
    directories = watched.mirror()
    (one,) = directories._places
    actor = one._proposals.actor  # type: ignore[attr-defined]
    watched.until_packages("good")
    directories.scan()
    directories.close()
    watched.deployments.undeploy(["good"], ACTOR)
    watched.until_active({})
    entries = [
        watched.deployments.receive(
            name,
            [(watched.archives / name).read_bytes()],
            source=f"archives:one/{name}",
        )
        for name in ("bad.py", "good.py")
    ]
    sightings = [Sighting("one", e.file, e.digest, e.package) for e in entries]
    proposed = watched.deployments.deploy(entries, actor, sightings=sightings)
    wait_for(
        lambda: watched.generations()[proposed.number - 1].state is State.FAILED,
        "it failed",
    )
    again = watched.mirror()
    watched.until_packages("good")
    assert {"bad.py": "it breaks"} == place(again)["problems"]


def test_a_batch_that_is_on_its_way_is_followed(watched: WatchedSite) -> None:
    """The process that proposed it is gone; what fails is told by the next one."""
    watched.voter.held.set()
    watched.break_source("BROKEN")
    watched.put("crm.py", "BROKEN\n", watched.archives)
    directories = watched.mirror()
    wait_for(watched.generations, "it is proposed")
    directories.close()
    again = watched.mirror()
    watched.voter.held.clear()
    wait_for(lambda: place(again)["problems"], "it is told")
    assert {"crm.py": "it breaks"} == place(again)["problems"]
    assert [State.FAILED] == watched.states()


def test_what_a_file_was_is_not_forgotten_by_a_process_that_dies(
    watched: WatchedSite,
) -> None:
    """The next one follows the batch, and knows that the package was the file's."""
    watched.break_package("beta")
    watched.move_in(watched.archive("x.sar", "alpha"), watched.archives)
    watched.put("other.py", "x = 1\n", watched.archives)
    first = watched.mirror()
    watched.until_packages("alpha", "other")
    first.scan()
    watched.voter.held.set()
    watched.move_in(watched.archive("x.sar", "beta"), watched.archives)
    wait_for(lambda: recorded(watched)["x.sar"] == "beta", "it is proposed")
    first.close()
    second = watched.mirror()
    watched.voter.held.clear()
    wait_for(lambda: place(second)["problems"], "it is told")
    (watched.archives / "x.sar").unlink()
    watched.until_packages("other")


# THE LEDGER


def test_a_ledger_that_is_lost_is_tried_again(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is forgotten meanwhile; the status tells it."""
    monkeypatch.setattr(places, "_FIRST", 0.05)
    directories = filled(watched, 2)
    sightings, lost = watched.ledger.sightings, [True]

    def losing(location: str) -> tuple[Sighting, ...]:
        if lost:
            raise LedgerError("postgresql://x", "the connection is lost")
        return sightings(location)

    monkeypatch.setattr(watched.ledger, "sightings", losing)
    watched.put("m0.py", "x = 'new'\n", watched.archives)
    trouble = "the ledger postgresql://x: the connection is lost"
    wait_for(lambda: place(directories)["trouble"] == trouble, "it is told")
    lost.clear()
    watched.until_active({"m0": "x = 'new'\n", "m1": "x = 'm1'\n"})
    wait_for(lambda: place(directories)["trouble"] == "", "it is well again")


def test_while_deployments_are_locked_nothing_changes(
    watched: WatchedSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The change is made when the lock is gone."""
    monkeypatch.setattr(places, "_FIRST", 0.05)
    directories = filled(watched, 2)
    watched.ledger.lock(ACTOR, "incident 42")
    watched.put("m0.py", "x = 'new'\n", watched.archives)
    wait_for(lambda: "incident 42" in place(directories)["trouble"], "it is told")
    assert "x = 'm0'\n" == watched.active()["m0"]
    watched.ledger.unlock(ACTOR)
    watched.until_active({"m0": "x = 'new'\n", "m1": "x = 'm1'\n"})
