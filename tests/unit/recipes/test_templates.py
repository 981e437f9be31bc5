"""Templates of configuration files."""

from __future__ import annotations

import pytest

from pointsman.errors import ConfigError
from pointsman.recipes.templates import render


def option(section: str, key: str) -> str | None:
    """Stand for a buildout with one option."""
    return "yes" if (section, key) == ("part", "option") else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a ${root}/x", "a /srv/x"),
        ("${part:option}", "yes"),
        ("$${root} $MAINPID $$ %{HOST}e $(id)", "${root} $MAINPID $$ %{HOST}e $(id)"),
        ("${root", "${root"),
    ],
)
def test_only_braces_after_a_dollar_are_places(text: str, expected: str) -> None:
    """Names and options are filled in; all else stands as it is written."""
    assert expected == render(text, {"root": "/srv"}, option, "x.in")


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("${rooot}", r"x\.in, line 2: there is nothing for \$\{rooot\}; did you mean"),
        ("${part:other}", r"x\.in, line 2: there is nothing for \$\{part:other\}; kno"),
        ("${}", r"x\.in, line 2: there is nothing for \$\{\}"),
    ],
)
def test_a_place_that_nothing_fills_is_told(place: str, message: str) -> None:
    """File and line are named, with what is near and what is known."""
    with pytest.raises(ConfigError, match=message):
        render(f"one\n{place}\n", {"root": "/srv"}, option, "x.in")
