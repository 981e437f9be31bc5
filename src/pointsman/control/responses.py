"""Answers as bytes: JSON, problem documents, texts.  Edge."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import Any

from webob import Response

# JSON in a browser that guesses types must not be taken for a page.
_ESCAPES = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})


def of_json(document: Any, status: int = 200, **headers: str) -> Response:
    """Return a JSON document; ``headers`` with ``_`` for ``-``."""
    text = json.dumps(document, ensure_ascii=False, indent=1)
    response = Response(_encoded(text), content_type="application/json")
    response.status_int = status
    return _with_headers(response, headers)


def of_problem(status: int, detail: str, **members: Any) -> Response:
    """Return a problem document (RFC 9457); ``members`` extend it."""
    document = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": int(status),
        "detail": detail,
        **members,
    }
    response = of_json(document, status)
    response.headers["Content-Type"] = "application/problem+json"
    return response


def of_text(content: bytes, content_type: str) -> Response:
    """Return a text."""
    response = Response(content)
    response.headers["Content-Type"] = content_type
    return _with_headers(response, {})


def _encoded(text: str) -> bytes:
    # Of what JSON has outside of strings, nothing is escaped here.
    return text.translate(_ESCAPES).encode("utf-8", "backslashreplace") + b"\n"


def _with_headers(response: Response, headers: dict[str, str]) -> Response:
    response.headers["Cache-Control"] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"
    for name, value in headers.items():
        response.headers[name.replace("_", "-")] = value
    return response
