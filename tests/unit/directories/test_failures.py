"""Whom a failed generation failed for, told from its record."""

from __future__ import annotations

import pytest

from pointsman.cluster import Actor, Failed, Generation, State, Vote
from pointsman.directories.failures import Why, failures
from pointsman.directories.imports import imports_among

ACTOR = Actor("a test")


def generation(
    *failed: Failed, reason: str = "", staged_at: float | None = 1.0
) -> Generation:
    """Return a generation that one node refused."""
    votes = (Vote("node", loaded=False, failures=failed),) if failed else ()
    return Generation(
        7,
        State.FAILED,
        ACTOR,
        "deploy",
        0,
        "",
        reason,
        staged_at=staged_at,
        votes=votes,
    )


def nobody(_: str) -> tuple[str, ...]:
    """Import from nothing that is served."""
    return ()


def reasons(found: dict[str, Why]) -> dict[str, str]:
    """Return the reasons alone."""
    return {name: why.reason for name, why in found.items()}


def test_those_that_are_named_fail() -> None:
    """With what their node told; the others are innocent."""
    found = failures(generation(Failed("a", "bad", "trace")), ["a", "b"], {}, nobody)
    assert {"a": Why("bad", "node", "trace", 7)} == found


def test_those_that_import_them_go_with_them() -> None:
    """Directly or by way of others, each with the nearest cause."""
    imports = {"b": {"a"}, "c": {"b"}, "d": set[str]()}
    found = failures(
        generation(Failed("a", "bad")), ["a", "b", "c", "d"], imports, nobody
    )
    assert {
        "a": "bad",
        "b": "it imports a, which failed: bad",
        "c": "it imports a by way of others, which failed: bad",
    } == reasons(found)


def test_circles_of_imports_end() -> None:
    """Two that import each other fail together."""
    imports = {"a": {"b"}, "b": {"a"}}
    found = failures(generation(Failed("a", "bad")), ["a", "b"], imports, nobody)
    assert {"a", "b"} == found.keys()


def test_who_breaks_others_is_to_blame() -> None:
    """The node names a package that was served before and imports what changed."""
    found = failures(
        generation(Failed("old", "no such name")),
        ["a", "b"],
        {},
        lambda name: ["old"] if name == "a" else [],
    )
    assert {"a": "old, which imports it, fails with it: no such name"} == reasons(found)


def test_when_nobody_is_named_all_fail() -> None:
    """A deadline, a lost node: nothing tells the innocent."""
    found = failures(generation(reason="not decided in time"), ["a", "b"], {}, nobody)
    assert {"a": "not decided in time", "b": "not decided in time"} == reasons(found)


def test_who_was_overtaken_fails_alone() -> None:
    """Somebody changed one package while the batch waited its turn."""
    record = generation(reason="a is now a.py (push) since this ...", staged_at=None)
    assert ["a"] == list(failures(record, ["a", "b"], {}, nobody))


@pytest.mark.parametrize(
    ("source", "imported"),
    [
        ("import other", True),
        ("import other.sub as o", True),
        ("from other.sub import x", True),
        ("def f():\n    import other", True),
        ("try:\n    import other\nexcept ImportError:\n    pass", True),
        ("from . import other", False),
        ("from .other import x", False),
        ("import another", False),
        ("x = 'import other'", False),
        ("import (", False),
        ("\0", False),
        ("", False),
    ],
)
def test_imports_are_told_without_running(source: str, imported: bool) -> None:  # noqa: FBT001
    """Statements at any depth; what cannot be parsed imports nothing."""
    found = imports_among({"one": {"one.py": source.encode()}, "other": OTHER})
    assert ({"other"} if imported else set()) == found["one"]


OTHER = {"other/__init__.py": b"", "other/sub.py": b"", "data.txt": b"import one"}


def test_a_package_is_known_by_its_modules() -> None:
    """Not by its own name; and what it imports of itself is no import."""
    archive = {"shop.py": b"import cart", "cart.py": b"import stock"}
    found = imports_among({"crm": archive, "stock": {"stock.py": b"import shop"}})
    assert {"crm": {"stock"}, "stock": {"crm"}} == found
