"""Nothing runs that versions.cfg does not pin."""

import configparser
import re
from importlib.metadata import distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def normalised(name: str) -> str:
    """Return the name as indexes compare it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(name="pins")
def _pins() -> dict[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ROOT / "versions.cfg", "utf-8")
    return {normalised(name): pin for name, pin in parser["versions"].items()}


@pytest.fixture(name="working_set")
def _working_set() -> dict[str, set[str]]:
    """All versions of each distribution that this process could import."""
    found: dict[str, set[str]] = {}
    for distribution in distributions():
        # setuptools carries copies for itself alone.
        if "_vendor" not in Path(str(distribution.locate_file(""))).parts:
            name = normalised(distribution.name)
            found.setdefault(name, set()).add(distribution.version)
    del found["pointsman"]
    return found


def test_working_set_is_pinned(
    pins: dict[str, str], working_set: dict[str, set[str]]
) -> None:
    """Every distribution that the tests can import has the version of its pin."""
    pinned = {name: {pins.get(name)} for name in working_set}

    assert pinned == working_set


def test_tools_are_pinned(pins: dict[str, str]) -> None:
    """What builds the environments is pinned like what runs in them."""
    tools = ["pip", "setuptools", "wheel", "packaging", "zc-buildout", "ruff"]

    assert [] == [name for name in tools if name not in pins]
