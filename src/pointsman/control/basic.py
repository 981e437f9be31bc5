"""HTTP Basic authentication (RFC 7617): what a header says.  Decisions."""

from __future__ import annotations

import base64
import binascii
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

_LONGEST = 4096


def credentials(text: str) -> tuple[str, str] | None:
    """Return name and password of what follows ``Basic``; None where it is none.

    A password that was typed composed is that which was typed decomposed.
    """
    if len(text) > _LONGEST:
        return None
    try:
        told = base64.b64decode(text, validate=True).decode("utf-8")
    except (binascii.Error, ValueError):
        return None
    name, colon, password = told.partition(":")
    if not colon or has_control(told):
        return None
    return name, composed(password)


def composed(password: str) -> str:
    """Return the form in which passwords are hashed (RFC 8265: NFC)."""
    return unicodedata.normalize("NFC", password)


def has_control(text: str) -> bool:
    """Tell whether there is a character that credentials must not have."""
    return any(unicodedata.category(each) == "Cc" for each in text)


def is_foreign(environ: Mapping[str, str]) -> bool:
    """Tell whether a page of another site lets its reader's browser ask.

    A browser that knows a password sends it with whatever any page asks for; a form
    elsewhere could deploy.  Programs send none of these headers.
    """
    site = environ.get("HTTP_SEC_FETCH_SITE")
    if site is not None:
        return site not in {"same-origin", "none"}
    origin = environ.get("HTTP_ORIGIN")
    return origin is not None and urlsplit(origin).netloc != environ.get("HTTP_HOST")


def challenges(environ: Mapping[str, str]) -> list[str]:
    """Return the values of WWW-Authenticate.

    A browser that says what it is gets none that it would ask its user about: then
    it keeps no password.
    """
    bearer = 'Bearer realm="pointsman"'
    if "HTTP_SEC_FETCH_SITE" in environ:
        return [bearer]
    return [bearer, 'Basic realm="pointsman", charset="UTF-8"']
