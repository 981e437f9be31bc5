"""Which service a path belongs to."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pointsman.routing import RouteTable, mount_key

# Few and similar segments, so that prefixes overlap; empty ones are segments too.
SEGMENTS = st.sampled_from(["", "a", "ab", "b", "A", "ä".encode().decode("latin-1")])


def joined(segments: list[str]) -> str:
    """Return a path of some segments."""
    return "".join(f"/{segment}" for segment in segments)


PATHS = st.lists(SEGMENTS, max_size=6).map(joined)
MOUNT = st.lists(SEGMENTS.filter(bool), max_size=5).map(joined)
MOUNTS = st.lists(MOUNT, unique=True, max_size=8)


def naive(mounts: list[str], path: str) -> tuple[str, int] | None:
    """Return the longest mount that is the path or is followed by a slash in it."""
    found = [m for m in mounts if path == m or path.startswith(m + "/") or not m]
    best = max(found, key=len, default=None)
    return None if best is None else (best, len(best))


def table(*mounts: str) -> RouteTable[str]:
    """Return a table in which each mount leads to itself."""
    return RouteTable(1, {mount_key(mount): mount for mount in mounts})


@given(MOUNTS, PATHS)
@example(["/a/b/a/b"], "/a/b/b/a")
@example(["/a/b/a", "/a/b/b"], "/a")
@example(["/a", "/a/b/a/b"], "/a/b/a")
@example(["", "/a/b"], "/ab/b")
def test_match_is_the_longest_prefix(mounts: list[str], path: str) -> None:
    """The table finds what comparing with every mount would find."""
    found = RouteTable(1, {mount: mount for mount in mounts}).match(path)

    assert naive(mounts, path) == found


@given(MOUNTS, PATHS)
def test_order_of_mounts_does_not_matter(mounts: list[str], path: str) -> None:
    """A table is the same whichever of its mounts came first."""
    forwards = RouteTable(1, {mount: mount for mount in mounts})
    backwards = RouteTable(1, {mount: mount for mount in reversed(mounts)})

    assert backwards.match(path) == forwards.match(path)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/shop", ("/shop", 5)),
        ("/shop/", ("/shop", 5)),
        ("/shop/prices", ("/shop/prices", 12)),
        ("/shop/prices/", ("/shop/prices", 12)),
        ("/shop/prices/7/history", ("/shop/prices", 12)),
        ("/shop/price", ("/shop", 5)),
        ("/shop/pricesearch", ("/shop", 5)),
        ("/shop//prices", ("/shop", 5)),
        ("/shopping", None),
        ("//shop", None),
        ("/", None),
        ("", None),
        ("/SHOP", None),
    ],
)
def test_nested_mounts(path: str, expected: tuple[str, int] | None) -> None:
    """A mount has itself, with and without slash, and what is below; no more."""
    assert expected == table("/shop", "/shop/prices").match(path)


@pytest.mark.parametrize("path", ["", "/", "//", "/x", "/x/y", "/shopping"])
def test_root_service_has_the_rest(path: str) -> None:
    """What no longer mount has goes to the root, which takes nothing off the path."""
    assert ("/", 0) == table("/", "/shop").match(path)


def test_deep_mount_without_its_parents() -> None:
    """The parents of a deep mount lead nowhere, and to what lies above them."""
    found = table("/", "/a/b/c/d")

    assert ("/a/b/c/d", 8) == found.match("/a/b/c/d/e")
    assert ("/", 0) == found.match("/a/b/c")
    assert ("/", 0) == found.match("/a/b/c/dd")
    assert ("/", 0) == found.match("/x/y/z/d")


@pytest.mark.parametrize("written", ["/käse", "/k%C3%A4se", "/k%c3%a4se"])
def test_mounts_beyond_ascii(written: str) -> None:
    """A path that is written with UTF-8 or with escapes is the one that WSGI passes."""
    as_wsgi_has_it = "/käse/alt".encode().decode("latin-1")

    assert (written, 6) == table(written).match(as_wsgi_has_it)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("", ""),
        ("/", ""),
        ("/a", "/a"),
        ("/a/", "/a"),
        ("/a%20b", "/a b"),
        ("/a b", "/a b"),
        ("/%7Euser", "/~user"),
    ],
)
def test_mount_key(path: str, expected: str) -> None:
    """Different spellings of one path have one key."""
    assert expected == mount_key(path)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("a", "does not begin with '/'"),
        ("//a", "an empty, '.' or '..' segment"),
        ("/a//b", "an empty, '.' or '..' segment"),
        ("/a/%2e%2e/b", "an empty, '.' or '..' segment"),
        ("/a?b", "a control character, '?' or '#'"),
        ("/a%0ab", "a control character, '?' or '#'"),
    ],
)
def test_impossible_mounts(path: str, reason: str) -> None:
    """A path that no request can have, or that hides another one, is refused."""
    with pytest.raises(ValueError, match=r"the path .* (does|has)") as caught:
        mount_key(path)

    assert reason in str(caught.value)
