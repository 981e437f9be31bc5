"""The table of calls: what fits, what its parameters say, what it is called."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.control.application import ROUTES
from pointsman.control.routes import Field, WrongMethod, find, value
from pointsman.errors import Refused


def test_parts_of_a_path() -> None:
    """A part in braces takes one segment, as it is."""
    route, parts = find(ROUTES, "GET", "/api/v1/packages/crm.web/artifact")

    assert ("/api/v1/packages/{name}/artifact", {"name": "crm.web"}) == (
        route.path,
        parts,
    )


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/api/v1/packages/",
        "/api/v1/packages//artifact",
        "/api/v1/packages/a/b/c",
        "/api/v1//packages",
        "api/v1/packages",
        "/api/v1/packages/../../health/live",
        "/API/V1/packages",
    ],
)
def test_no_call(path: str) -> None:
    """404 tells what there is."""
    with pytest.raises(Refused, match=r"/api/v1/reload") as caught:
        find(ROUTES, "GET", path)

    assert 404 == caught.value.status


def test_other_method() -> None:
    """405 tells which there are."""
    with pytest.raises(WrongMethod) as caught:
        find(ROUTES, "PATCH", "/api/v1/packages/crm")

    assert (405, "DELETE, GET, HEAD, OPTIONS, PUT") == (
        caught.value.status,
        caught.value.allow,
    )


def test_head_is_get() -> None:
    """There is no call of its own for it."""
    assert "GET" == find(ROUTES, "HEAD", "/api/v1/packages")[0].method


@given(st.text(), st.text())
def test_anything(method: str, path: str) -> None:
    """Whatever is asked is found or refused."""
    with contextlib.suppress(Refused):
        find(ROUTES, method, path)


@pytest.mark.parametrize(
    ("field", "text", "expected"),
    [
        (Field("b", "boolean", ""), "", True),
        (Field("b", "boolean", ""), "YES", True),
        (Field("b", "boolean", ""), "0", False),
        (Field("s", "seconds", ""), "0", 0.0),
        (Field("s", "seconds", ""), "1.5", 1.5),
        (Field("s", "seconds", ""), "3600", 3600.0),
        (Field("c", "count", "", most=1000), "1000", 1000),
        (Field("g", "generation", ""), "12", 12),
        (Field("t", "text", ""), "über <b>", "über <b>"),
    ],
)
def test_values(field: Field, text: str, expected: object) -> None:
    """Each kind has its words."""
    assert expected == value(field, text)


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("boolean", "maybe"),
        ("seconds", "-1"),
        ("seconds", "nan"),
        ("seconds", "inf"),
        ("seconds", "1e9"),
        ("seconds", ""),
        ("count", "0"),
        ("count", "1001"),
        ("count", "-5"),
        ("count", "1" * 5000),
        ("count", "\u0663"),
        ("generation", "x"),
        ("text", "x" * 501),
        ("text", "a\0b"),
    ],
)
def test_values_that_are_not_accepted(kind: str, text: str) -> None:
    """400 tells what is accepted, and repeats no more than the beginning."""
    field = Field("f", kind, "", most=1000)  # type: ignore[arg-type]
    with pytest.raises(Refused, match="accepted are") as caught:
        value(field, text)

    assert 400 == caught.value.status
    assert len(caught.value.detail) < 500
