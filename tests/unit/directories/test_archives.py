"""What an archive directory wants changed, and when it is not believed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.cluster import Entry, Sighting
from pointsman.model import Kind
from pointsman.sources import archives


def seen(file: str, digest: str = "d", package: str = "") -> Sighting:
    """Return what was recorded of a file."""
    return Sighting("one", file, digest, package or file.partition(".")[0])


def served(*packages: str, source: str = "archives:one/x") -> dict[str, Entry]:
    """Return packages that are served."""
    return {p: Entry(p, "d", Kind.MODULE, f"{p}.py", source) for p in packages}


def test_what_changed_is_told_by_the_record() -> None:
    """New files, and files of another content."""
    recorded = {"a.py": seen("a.py"), "b.py": seen("b.py")}
    digests = {"a.py": "d", "b.py": "other", "c.py": "d"}
    assert ("b.py", "c.py") == archives.changed(digests, recorded)


def test_the_recorded_file_keeps_a_package() -> None:
    """Else the first one by name; the same before and after a restart."""
    packages = {"a.sar": "crm", "b.sar": "crm"}
    assert "a.sar" == archives.owners(packages, {})[0]["crm"]
    recorded = {"b.sar": seen("b.sar", package="crm")}
    assert "b.sar" == archives.owners(packages, recorded)[0]["crm"]


def test_the_newest_file_wins() -> None:
    """And of two of the same time the last by name."""
    packages = {"a.sar": "crm", "b.sar": "crm", "c.sar": "crm"}
    assert (
        "b.sar"
        == archives.newest(packages, {"a.sar": 1, "b.sar": 3, "c.sar": 2})[0]["crm"]
    )
    assert "c.sar" == archives.newest(packages, dict.fromkeys(packages, 1))[0]["crm"]


@given(
    st.dictionaries(st.text("abc", min_size=1), st.sampled_from("xyz"), max_size=8),
    st.data(),
)
def test_every_file_has_its_package_or_a_reason(
    packages: dict[str, str], data: st.DataObject
) -> None:
    """Whatever the order: each package has one owner, each other file one reason."""
    shuffled = dict(data.draw(st.permutations(list(packages.items()))))
    found, refused = archives.owners(shuffled, {})
    assert set(packages.values()) == found.keys()
    assert packages.keys() == {*found.values(), *refused}
    assert archives.owners(packages, {}) == (found, refused)


def test_only_what_serves_from_an_archive_directory_is_lost() -> None:
    """Not what another file has, what serves no more, or what was pushed since."""
    gone = [seen("a.py"), seen("b.py"), seen("c.py"), seen("d.py")]
    serving = served("a", "b") | served("c", source="push")
    assert ("a",) == archives.lost(gone, {"b"}, serving)


@pytest.mark.parametrize(
    ("source", "digest", "lost"),
    [
        ("archives:one/a.py", "d", True),
        ("archives:one/old.py", "other", True),  # it failed, or was rolled back
        ("archives:two/a.py", "d", True),  # another machine had it first
        ("archives:two/a.py", "other", False),
        ("archives:one/two/a.py", "other", False),  # a directory below this one
        ("push", "d", False),
    ],
)
def test_what_another_directory_serves_is_not_lost(
    source: str,
    digest: str,
    lost: bool,  # noqa: FBT001
) -> None:
    """Unless it is just what the file was that is gone from here."""
    serving = {"a": Entry("a", digest, Kind.MODULE, "a.py", source)}
    assert lost == bool(archives.lost([seen("a.py")], (), serving))


@pytest.mark.parametrize(
    ("lost", "known", "empty", "elsewhere", "held"),
    [
        (0, 5, "", False, False),
        (1, 5, "", False, False),
        (2, 2, "", False, False),  # two may go, however few there are
        (3, 6, "", False, False),  # just half
        (3, 5, "", False, True),
        (4, 6, "", False, True),
        (1, 1, "it is empty", False, True),
        (1, 9, "", True, True),
        (0, 9, "", True, False),  # a new disk with all of it
        (0, 0, "it is empty", False, False),  # it never had anything
    ],
)
def test_when_a_directory_is_not_believed(
    lost: int,
    known: int,
    empty: str,
    elsewhere: bool,  # noqa: FBT001
    held: bool,  # noqa: FBT001
) -> None:
    """Over half and more than two, everything, or anything on another device."""
    names = [f"m{number}" for number in range(known)]
    doubt = archives.doubt(names[:lost], names, empty=empty, elsewhere=elsewhere)
    assert held == bool(doubt)


def test_the_sentence_names_what_would_go() -> None:
    """Ten of them at most."""
    names = [f"m{number:02}" for number in range(12)]
    told = archives.held("it is empty", names)
    assert "m00, m01, m02, m03, m04, m05, m06, m07, m08, m09, ... would be" in told
    assert "pointsman reload --confirm-removals" in told
