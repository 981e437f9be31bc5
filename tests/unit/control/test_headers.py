"""If-Match, Content-Digest and Repr-Digest."""

from __future__ import annotations

import base64
import contextlib
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pointsman.control.digests import checked, parsed
from pointsman.control.preconditions import etag, if_match
from pointsman.errors import Refused

CONTENT = b"from pointsman import Service\n"


def member(algorithm: str, content: bytes = CONTENT) -> str:
    """Return a digest as the header has it."""
    name = algorithm.replace("-", "")
    digest = base64.b64encode(hashlib.new(name, content).digest()).decode()
    return f"{algorithm}=:{digest}:"


def sha256(content: bytes = CONTENT) -> bytes:
    """Return a digest as it is."""
    return hashlib.sha256(content).digest()


# IF-MATCH


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("*", None),
        (" * ", None),
        ('"12"', 12),
        ('"11", "12"', 12),
        ('"12","13"', 12),
        ('W/"12", "12"', 12),
    ],
)
def test_if_match(header: str | None, expected: int | None) -> None:
    """One of the tags is that of the active generation, compared strongly."""
    assert expected == if_match(header, 12)


@pytest.mark.parametrize("header", ['"11"', 'W/"12"', '"abc"', '"11", "13"', ""])
def test_if_match_of_another(header: str) -> None:
    """412 says which generation is active."""
    with pytest.raises(Refused, match="generation 12 is the active one") as caught:
        if_match(header, 12)

    assert 412 == caught.value.status


@pytest.mark.parametrize("header", ["12", '"12', '"12" "13"', "W/12", '"a b"'])
def test_if_match_that_is_none(header: str) -> None:
    """A header that cannot be read must not let a change through."""
    with pytest.raises(Refused, match='like "12"') as caught:
        if_match(header, 12)

    assert 400 == caught.value.status


@given(st.text())
def test_if_match_of_anything(header: str) -> None:
    """It is refused or means the active generation; nothing else comes out."""
    found: int | None = 12
    with contextlib.suppress(Refused):
        found = if_match(header, 12)

    assert found == 12 or header.strip() == "*"


def test_etag() -> None:
    """It is the number in quotes."""
    assert '"12"' == etag(12)


# DIGESTS


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (member("sha-256"), {"sha-256": sha256()}),
        (
            f"{member('sha-256')}, {member('sha-512')}",
            {"sha-256": sha256(), "sha-512": hashlib.sha512(CONTENT).digest()},
        ),
        (f" {member('sha-256')} ", {"sha-256": sha256()}),
        (f"md5=:AAAA:,{member('sha-256')}", {"sha-256": sha256()}),
        ("md5=:AAAA:", {}),
        (f"{member('sha-256')};a=1;b", {"sha-256": sha256()}),
        (
            f"{member('sha-256', b'other')}, {member('sha-256')}",
            {"sha-256": sha256()},
        ),
    ],
)
def test_digests(header: str, expected: dict[str, bytes]) -> None:
    """Those that are known, the last of one name, whatever stands beside them."""
    assert expected == parsed(header, "Content-Digest")


@pytest.mark.parametrize(
    "header",
    [
        "",
        "sha-256",
        "sha-256=",
        "sha-256=abc",
        "sha-256=:AAAA:",
        "sha-256=:A:",
        "sha-256=:====:",
        member("sha-256") + ",",
        member("sha-256")[:-1],
        "SHA-256=" + member("sha-256").partition("=")[2],
        hashlib.sha256(CONTENT).hexdigest(),
        "sha-256=" + base64.b64encode(sha256()).decode(),
    ],
)
def test_digests_that_cannot_be_read(header: str) -> None:
    """400: who sends one wants it compared."""
    with pytest.raises(Refused, match="header Repr-Digest cannot be read") as caught:
        parsed(header, "Repr-Digest")

    assert 400 == caught.value.status


@given(st.text())
def test_digests_of_anything(header: str) -> None:
    """Whatever comes is refused or read, and never a fault of ours."""
    with contextlib.suppress(Refused):
        parsed(header, "Content-Digest")


def test_bytes_are_compared() -> None:
    """All bytes go through, and the end decides; every header counts."""
    right, wrong = {"sha-256": sha256()}, {"sha-512": b"\0" * 64}
    halves = [CONTENT[:5], CONTENT[5:]]

    assert CONTENT == b"".join(checked(halves, [("Content-Digest", right)]))
    assert CONTENT == b"".join(checked(halves, []))
    with pytest.raises(Refused, match="than Repr-Digest says: sha-512=:") as caught:
        list(checked(halves, [("Content-Digest", right), ("Repr-Digest", wrong)]))
    assert 400 == caught.value.status
