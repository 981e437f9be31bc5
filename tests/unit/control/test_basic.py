"""HTTP Basic authentication: what headers say, and who sends them."""

from __future__ import annotations

import base64

import pytest

from pointsman.control import basic


def encoded(text: str, codec: str = "utf-8") -> str:
    """Return what follows ``Basic``."""
    return base64.b64encode(text.encode(codec)).decode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (encoded("Aladdin:open sesame"), ("Aladdin", "open sesame")),  # RFC 7617, 2
        (encoded("test:123£"), ("test", "123£")),  # ... and 2.1
        (encoded("anna:with:colons:"), ("anna", "with:colons:")),
        (encoded("anna:"), ("anna", "")),
        (encoded(":secret"), ("", "secret")),
        (encoded("anna:A\u030angstro\u0308m"), ("anna", "\xc5ngstr\xf6m")),
        (encoded("anna"), None),
        (encoded("anna:se\ncret"), None),
        (encoded("an\0na:secret"), None),
        (encoded("anna:£", "latin-1"), None),
        ("not base64!", None),
        ("YW5uYTpzZWNyZXQ", None),
        ("ä", None),
        (encoded("anna:" + "x" * 4000), None),
        ("", None),
    ],
)
def test_what_follows_basic(text: str, expected: tuple[str, str] | None) -> None:
    """Name and password up to the first colon, as UTF-8; all else is nothing."""
    assert expected == basic.credentials(text)


@pytest.mark.parametrize(
    ("headers", "foreign"),
    [
        ({}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-origin"}, False),
        ({"HTTP_SEC_FETCH_SITE": "none"}, False),
        ({"HTTP_SEC_FETCH_SITE": "same-site"}, True),
        ({"HTTP_SEC_FETCH_SITE": "cross-site"}, True),
        ({"HTTP_ORIGIN": "https://site.example"}, False),
        ({"HTTP_ORIGIN": "https://site.example:444"}, True),
        ({"HTTP_ORIGIN": "https://evil.example"}, True),
        ({"HTTP_ORIGIN": "null"}, True),
        # The proxy has changed the name of the host; the browser knows better.
        (
            {"HTTP_ORIGIN": "https://www.example", "HTTP_SEC_FETCH_SITE": "none"},
            False,
        ),
    ],
)
def test_pages_of_other_sites(headers: dict[str, str], *, foreign: bool) -> None:
    """A browser says which page asks; other programs do not, and need not."""
    assert foreign == basic.is_foreign({"HTTP_HOST": "site.example", **headers})


def test_browsers_are_not_asked_for_a_password() -> None:
    """What a browser's own dialog has learnt, it sends with whatever page asks."""
    browser = basic.challenges({"HTTP_SEC_FETCH_SITE": "none"})

    assert ['Bearer realm="pointsman"'] == browser
    assert [*browser, 'Basic realm="pointsman", charset="UTF-8"'] == (
        basic.challenges({})
    )
