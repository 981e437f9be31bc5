"""The header If-Match (RFC 9110, section 13.1.1).  Decisions."""

from __future__ import annotations

import re

from pointsman.errors import Refused

_TAG = re.compile(r'[ \t]*(?:(W/)?"([\x21\x23-\x7e\x80-\xff]*)")?[ \t]*(?:,|\Z)')


def etag(number: int) -> str:
    """Return the entity tag of a generation."""
    return f'"{number}"'


def if_match(header: str | None, active: int) -> int | None:
    """Return which generation must be the active one; None is any.

    Raises:
        Refused: 400, the header cannot be read; 412, it names no generation that
            could match.

    """
    if header is None or header.strip() == "*":
        return None
    tags, at = [], 0
    while at < len(header):
        match = _TAG.match(header, at)
        if match is None or match.end() == at:
            detail = 'If-Match is the number of a generation in quotes, like "12"'
            raise Refused(400, "Bad Request", detail)
        if match[2] is not None and not match[1]:  # weak ones never match
            tags.append(match[2])
        at = match.end()
    if str(active) in tags:
        return active
    detail = (
        f"generation {active} is the active one, and If-Match wants another; look at "
        "what has changed, and try again"
    )
    raise Refused(412, "Precondition Failed", detail)
