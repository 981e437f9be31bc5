"""The values: valid by construction, frozen, and identified by their bytes."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.errors import ArtifactError
from pointsman.model import Artifact, Kind, Outcome, Package, Problem, Report

FILES = st.dictionaries(st.sampled_from(["p/a.py", "p/b.py", "p/c/d.txt"]), st.binary())


@pytest.mark.parametrize("name", ["crm", "a", "A1", "_x", "a.b-c_d", "x" * 200])
def test_names(name: str) -> None:
    """Letters, digits, underscores, dots and dashes make a name."""
    assert name == Artifact(name, Kind.TREE, {}).package


@pytest.mark.parametrize("name", ["", ".x", "-x", "a/b", "a b", "é", "a\n", "x" * 201])
def test_names_that_are_refused(name: str) -> None:
    """Anything else is refused with the origin, and what to do."""
    with pytest.raises(ArtifactError, match=r"\(/site/x\.py\): .*; rename it"):
        Artifact(name, Kind.TREE, {}, "/site/x.py")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "../x", "a/../../x", "a//b", "./a", "a/", ".."]
)
def test_paths_that_leave(path: str) -> None:
    """A path that leads out, or is not in its shortest form, is refused."""
    with pytest.raises(ArtifactError, match="leaves the artifact"):
        Artifact("crm", Kind.TREE, {path: b""})


def test_digest_of_a_module() -> None:
    """A module's digest is that of its file, as sha256sum prints it."""
    artifact = Artifact("crm", Kind.MODULE, {"crm.py": b"x = 1\n"})

    assert hashlib.sha256(b"x = 1\n").hexdigest() == artifact.digest


def test_digest_of_a_host_module() -> None:
    """What belongs to the host has no bytes of ours."""
    assert Artifact("json", Kind.HOST, {}).digest == ""


@given(FILES, FILES)
def test_digest_tells_trees_apart(one: dict[str, bytes], two: dict[str, bytes]) -> None:
    """Trees have the same digest when their paths and bytes are the same."""
    first = Artifact("p", Kind.TREE, one, "here").digest
    second = Artifact("p", Kind.TREE, dict(reversed(two.items())), "there").digest

    assert (one == two) == (first == second)


def test_files_are_frozen() -> None:
    """Neither the mapping nor what it was made of changes an artifact."""
    files = {"crm.py": b"x"}
    artifact = Artifact("crm", Kind.MODULE, files)
    files["crm.py"] = b"y"
    with pytest.raises(TypeError):
        artifact.files["crm.py"] = b"z"  # type: ignore[index]

    assert {"crm.py": b"x"} == dict(artifact.files)


def test_same_package() -> None:
    """A package is the same by bytes and offers, wherever it was read."""
    one = Package("a", Artifact("a", Kind.MODULE, {"a.py": b""}, "here"), ("a",), "l:1")
    two = Package(
        "a", Artifact("a", Kind.MODULE, {"a.py": b""}, "there"), ("a",), "l:2"
    )
    three = Package("a", Artifact("a", Kind.MODULE, {"a.py": b"#"}, "here"), ("a",))

    assert (True, False) == (one.same_as(two), one.same_as(three))


@pytest.mark.parametrize(
    ("outcomes", "problems", "failed"),
    [
        ((Outcome("a", "added"), Outcome("b", "host")), (), False),
        ((Outcome("a", "added"), Outcome("b", "failed")), (), True),
        ((), (Problem("list:1", "?"),), True),
        ((), (), False),
    ],
)
def test_report_that_failed(
    outcomes: tuple[Outcome, ...], problems: tuple[Problem, ...], *, failed: bool
) -> None:
    """One refusal or one problem is a failure of the whole report."""
    assert failed == Report(1, 1, 0.0, outcomes, problems).failed
