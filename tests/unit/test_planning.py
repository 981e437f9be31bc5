"""What changes, whom it concerns, what is taken back, who clashes: pure decisions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman import planning
from pointsman.model import Artifact, Kind, Mount, Package, Problem, Scan

NAMES = st.sampled_from("abcdef")
GRAPHS = st.dictionaries(NAMES, st.sets(NAMES))


def package(name: str, text: str = "", origin: str = "", **more: object) -> Package:
    """Return a package of one module."""
    files = {f"{name}.py": text.encode()}
    artifact = Artifact(name, Kind.MODULE, files, origin or f"/site/{name}.py")
    return Package(name, artifact, **more)  # type: ignore[arg-type]


def tree(name: str, folder: str) -> Package:
    """Return a package that is a folder below ``folder``."""
    return Package(name, Artifact(name, Kind.TREE, {f"{name}/m.py": b""}, folder))


def mount(package: str, path: str, service: str = "") -> Mount:
    """Return a mount; its service has the package's name unless it is given."""
    return Mount(service or package, path, package, f"/site/{package}.py")


def active(*packages: Package) -> dict[str, Package]:
    """Return packages by name."""
    return {one.name: one for one in packages}


# CHANGES


def test_changes() -> None:
    """New and different packages are wanted, missing ones shall go."""
    a, b, c, d = package("a"), package("b"), package("c"), package("d")
    new = package("b", "x = 1")

    assert {"b": new, "c": None, "d": d} == planning.changes(
        active(a, b, c), Scan((a, new, d))
    )


def test_same_bytes_from_elsewhere_change_nothing() -> None:
    """Digest and offers decide, not where the bytes were read."""
    moved = package("a", origin="/elsewhere/a.py")

    assert {} == planning.changes(active(package("a")), Scan((moved,)))


def test_other_offers_are_a_change() -> None:
    """A package that offers more modules is loaded again."""
    offering = package("a", offers=("a",))

    assert {"a": offering} == planning.changes(active(package("a")), Scan((offering,)))


def test_incomplete_scan_removes_nothing() -> None:
    """When the list itself cannot be read, everything stays."""
    assert {} == planning.changes(active(package("a")), Scan(complete=False))


def test_problem_holds_its_package() -> None:
    """A package that cannot be read stays; its new bytes are not taken either."""
    found = (package("a", "x = 1"),)
    problems = (Problem("list:1", "?", "a"), Problem("list:2", "?", "b"))

    assert {} == planning.changes(
        active(package("a"), package("b")), Scan(found, problems)
    )


@pytest.mark.parametrize(
    ("folder", "kept"),
    [
        ("/site/one", {"module", "tree"}),
        ("/site/one/", {"module", "tree"}),
        ("/site/one/tree", {"tree"}),
        ("/site/on", set()),
        ("/site", {"module", "tree", "other"}),
    ],
)
def test_problem_holds_its_folder(folder: str, kept: set[str]) -> None:
    """What lies in a folder that cannot be read stays, and nothing beside it."""
    served = active(
        package("module", origin="/site/one/module.py"),
        tree("tree", "/site/one"),
        package("other", origin="/site/other.py"),
    )
    changed = planning.changes(served, Scan((), (Problem("list:1", "?", "", folder),)))

    assert kept == served.keys() - changed.keys()


# WHOM IT CONCERNS


def test_affected_over_two_levels() -> None:
    """What imports the change is concerned, at any distance, and nothing else."""
    imports = {"b": {"a"}, "c": {"b"}, "d": {"e"}, "a": {"e"}}

    assert frozenset("abc") == planning.affected(["a"], imports)


def test_affected_in_a_circle() -> None:
    """Packages that import each other are concerned together."""
    assert frozenset("ab") == planning.affected(["a"], {"a": {"b"}, "b": {"a"}})


@given(st.sets(NAMES), GRAPHS)
def test_affected_is_closed(changed: set[str], imports: dict[str, set[str]]) -> None:
    """Nobody outside imports from what is concerned; all in it reach a change."""
    found = planning.affected(changed, imports)

    assert changed <= found
    for name, imported in imports.items():
        assert name in found or not imported & found
    for name in found:
        assert planning.reached(name, imports) & changed


@given(st.sets(NAMES), NAMES, GRAPHS)
def test_affected_grows(
    changed: set[str], more: str, imports: dict[str, set[str]]
) -> None:
    """One change more concerns no package less."""
    assert planning.affected(changed, imports) <= planning.affected(
        {*changed, more}, imports
    )


# WHAT IS TAKEN BACK


@pytest.mark.parametrize(
    ("failed", "changed", "imports", "expected"),
    [
        ("a", "ab", {}, {"a": "a"}),
        ("b", "a", {"b": {"a"}}, {"a": "b"}),
        ("c", "a", {"c": {"b"}, "b": {"a"}}, {"a": "c"}),
        ("c", "ab", {"c": {"a"}}, {"a": "c"}),
        ("ab", "a", {"b": {"a"}}, {"a": "a"}),
        ("c", "ab", {}, {"a": "c", "b": "c"}),
    ],
)
def test_retracted(
    failed: str, changed: str, imports: dict[str, set[str]], expected: dict[str, str]
) -> None:
    """A failed change goes back; an importer that fails takes back what it imports."""
    assert expected == planning.retracted(list(failed), list(changed), imports)


@given(st.sets(NAMES, min_size=1), st.sets(NAMES, min_size=1), GRAPHS)
def test_retracted_makes_progress(
    failed: set[str], changed: set[str], imports: dict[str, set[str]]
) -> None:
    """Each failure takes back at least one change, and only changes."""
    back = planning.retracted(sorted(failed), sorted(changed), imports)

    assert back
    assert back.keys() <= changed
    assert set(back.values()) <= failed
    assert failed & changed <= back.keys()


# CLASHES


def test_no_clash() -> None:
    """Other names at other paths; a path below another's is no clash."""
    new = [mount("b", "/a/b"), mount("c", "")]

    assert {} == planning.clashes([mount("a", "/a")], new)


@pytest.mark.parametrize(
    ("new", "what"),
    [
        (mount("b", "/x", "a"), "a service named a already"),
        (mount("b", "/a"), "a service at /a already"),
        (mount("b", "/%61/"), "a service at /%61/ already"),
    ],
)
def test_clash_with_what_stays(new: Mount, what: str) -> None:
    """What is served keeps its name and path; both origins are told."""
    found = planning.clashes([mount("a", "/a")], [new])

    assert ["b"] == list(found)
    assert what in found["b"]
    assert "(/site/b.py)" in found["b"]
    assert "a of a (/site/a.py), which keeps it" in found["b"]


def test_first_of_two_new_ones_keeps_it() -> None:
    """Of what is new, the first in order keeps the path."""
    assert {"b"} == planning.clashes([], [mount("a", "/x"), mount("b", "/x")]).keys()


def test_package_that_clashes_with_itself() -> None:
    """Two services of one package at one path refuse that package."""
    new = [mount("a", "/x", "a.one"), mount("a", "/x", "a.two"), mount("b", "/y")]

    assert {"a"} == planning.clashes([], new).keys()


def test_refused_package_takes_nothing_from_others() -> None:
    """A package refused for its second service leaves the path of its first free."""
    kept = [mount("a", "/a")]
    new = [mount("b", "/b", "b.1"), mount("b", "/a", "b.2"), mount("c", "/b")]

    assert {"b"} == planning.clashes(kept, new).keys()


MOUNTS = st.lists(
    st.builds(
        mount, NAMES, st.sampled_from(["", "/x", "/y", "/z"]), st.sampled_from("mno")
    )
)


@given(MOUNTS)
def test_what_is_left_does_not_clash(mounts: list[Mount]) -> None:
    """Without the refused packages there is no clash, and some package is left."""
    refused = planning.clashes([], mounts)
    left = [one for one in mounts if one.package not in refused]

    assert {} == planning.clashes([], left)
    assert len({one.service for one in left}) == len(left)
    assert len({one.path for one in left}) == len(left)


def test_claims_decide_who_is_first() -> None:
    """What serves comes first, then who had it before the restart, then the rest."""
    a, b, c = mount("a", "/x"), mount("b", "/x"), mount("c", "/z")
    claims = planning.claimed([mount("b", "/x")])

    assert [c, b, a] == planning.in_order_of_claim([a, b, c], claims, {"c"})
