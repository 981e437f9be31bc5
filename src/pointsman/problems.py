"""Problem documents (RFC 9457), as WSGI answers them.  Values."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

Headers = list[tuple[str, str]]


def problem(status: int, detail: str, **members: Any) -> tuple[str, Headers, bytes]:
    """Return status line, headers and body; ``members`` extend the document."""
    phrase = HTTPStatus(status).phrase
    document = {
        "type": "about:blank",
        "title": phrase,
        "status": status,
        "detail": detail,
        **members,
    }
    body = json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n"
    headers = [
        ("Content-Type", "application/problem+json"),
        ("Content-Length", str(len(body))),
        ("Cache-Control", "no-store"),
    ]
    return f"{status} {phrase}", headers, body
