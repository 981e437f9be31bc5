"""Every distribution of a release is pinned."""

from __future__ import annotations

from pointsman.recipes.pins import unpinned


def test_a_pin_is_one_version_of_one_distribution() -> None:
    """Names are compared as PEP 503 says; ``==`` before a version is a pin, too."""
    pins = {"ZODB": "6.4", "annotated_types": "==0.8.0", "zope.interface": "8.7"}
    came = [("zodb", "6.4"), ("annotated-types", "0.8.0"), ("zope-interface", "8.7")]

    assert () == unpinned(came, pins)


def test_what_only_looks_pinned_is_told() -> None:
    """No pin, an empty one, a range and another version are all told, by name."""
    pins = {"b": "", "c": "1.*", "d": ">=2", "e": "3.0"}
    came = [("E", "3.1"), ("d", "2.0"), ("c", "1.5"), ("b", "1.0"), ("a", "1.0")]

    assert (
        "a = 1.0",
        "b = 1.0",
        "c = 1.5 (there is a pin 1.*)",
        "d = 2.0 (there is a pin >=2)",
        "E = 3.1 (there is a pin 3.0)",
    ) == unpinned(came, pins)
