"""Which modules an artifact has, and who sees whom."""

from __future__ import annotations

from pathlib import Path

import pytest

from pointsman.model import Artifact, Kind, Package
from pointsman.namespace.space import Namespace, View, move
from pointsman.namespace.table import module_table, tops


def space(name: str, **sources: str) -> Namespace:
    """Make a namespace of a package; its files are nowhere."""
    files = {f"{name}.py": sources.pop("source", "").encode()}
    files.update({path: text.encode() for path, text in sources.items()})
    artifact = Artifact(name, Kind.TREE, files, "nowhere")
    return Namespace(Package(name, artifact), Path("/nowhere"))


@pytest.mark.parametrize(
    ("files", "table"),
    [
        (["crm.py"], {"crm": "crm.py"}),
        (["crm/__init__.py"], {"crm": "crm/__init__.py"}),
        (
            ["crm/a.py", "crm/deep/b.py"],
            {"crm": None, "crm.a": "crm/a.py", "crm.deep": None,
             "crm.deep.b": "crm/deep/b.py"},
        ),
        (
            ["crm/__init__.py", "crm/a.py", "crm/a/__init__.py"],
            {"crm": "crm/__init__.py", "crm.a": "crm/a/__init__.py"},
        ),
        (
            ["crm/a/__init__.py", "crm/a.py"],
            {"crm": None, "crm.a": "crm/a/__init__.py"},
        ),
        (["crm/a.py", "crm/a/b.py"],
         {"crm": None, "crm.a": "crm/a.py", "crm.a.b": "crm/a/b.py"}),
        (["crm/not-a-name.py", "crm/2.py", "crm/a.txt", "crm/x-y/a.py"], {}),
        (["straße/ä.py"], {"straße": None, "straße.ä": "straße/ä.py"}),
        ([], {}),
    ],
)  # fmt: skip
def test_module_table(files: list[str], table: dict[str, str | None]) -> None:
    """A table has packages, modules and folders; packages win, as in CPython."""
    assert table == module_table(dict.fromkeys(files, b""))


def test_an_edge_is_recorded_with_the_answer() -> None:
    """Who asks for a module of another package imports from it."""
    app, shared = space("app"), space("shared")
    view = View(1, {"app": app, "shared": shared})
    app.view = view

    assert app is app.owner("app")
    assert set() == app.imports
    assert shared is app.owner("shared")
    assert {"shared"} == app.imports
    assert None is app.owner("nowhere")
    assert {"shared"} == app.imports


def test_move() -> None:
    """Kept namespaces see the new view, unless one imports what changed."""
    app, other, shared = space("app"), space("other"), space("shared")
    before = View(1, {"app": app, "other": other, "shared": shared})
    after = View(2, {"app": app, "other": other, "shared": space("shared")})
    app.view = other.view = before

    assert frozenset() == move((app, other), after, frozenset({"shared"}))
    assert (after, after) == (app.view, other.view)
    assert after.owners["shared"] is app.owner("shared")
    assert frozenset({"app"}) == move((app, other), before, frozenset({"shared"}))
    assert (after, after) == (app.view, other.view)


def test_a_spec_tells_what_kind_of_module_it_is() -> None:
    """A module, a package and a folder without ``__init__.py`` have PEP 451 specs."""
    one = space("flat", **{"pack/__init__.py": "", "spread/a.py": ""})

    flat, pack, spread = (one.spec(name) for name in ("flat", "pack", "spread"))
    assert ("/nowhere/flat.py", None) == (flat.origin, flat.submodule_search_locations)
    assert "/nowhere/pack/__init__.py" == pack.origin
    assert ["/nowhere/pack"] == pack.submodule_search_locations
    assert (None, False) == (spread.origin, spread.has_location)
    assert ["/nowhere/spread"] == list(spread.submodule_search_locations or ())
    assert ("", "pack", "spread") == (flat.parent, pack.parent, spread.parent)


def test_names_of_packages_and_modules() -> None:
    """Imports are packages; who is reached by them is found by the modules' names.

    With owners looked up by the packages' names, nobody was reached.
    """
    app = space("app")
    artifact = Artifact("the-library", Kind.ARCHIVE, {"a.py": b"", "b/c.py": b""})
    library = Namespace(Package("the-library", artifact), Path("/nowhere"))
    app.view = View(1, {"app": app, "a": library, "b": library})

    assert {"a", "b"} == library.tops == tops(artifact.files)
    assert library is app.owner("b") is app.owner("a")
    assert {"the-library"} == app.imports
    assert {app, library} == app.reach()
    app.view = View(2, {"app": app})
    assert {app} == app.reach()


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            ["crm.py", "crm_util/__init__.py", "acme/deep/x.py"],
            {"crm", "crm_util", "acme"},
        ),
        (["templates/a.html", "crm-1.dist-info/x.py", "service.ini", "2.py"], set()),
        ([], set()),
    ],
)
def test_top_level_names(files: list[str], expected: set[str]) -> None:
    """Only what can be imported takes a name."""
    assert expected == tops(dict.fromkeys(files, b""))
