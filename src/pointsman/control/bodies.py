"""What a request brings: its bytes, counted on the way, or a JSON object.  Edge."""

from __future__ import annotations

import json
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from pointsman.control import digests
from pointsman.control.routes import LONGEST_TEXT
from pointsman.errors import Refused, did_you_mean
from pointsman.uploads import too_large

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from webob import Request

_PIECE = 64 * 1024
_JSON_LIMIT = 64 * 1024


def _bad(detail: str) -> Refused:
    return Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail)


def length(request: Request) -> int | None:
    """Return how many bytes are announced; None: until the input ends by itself.

    Raises:
        Refused: 400, that is no number; 411, nothing is announced, and this server
            does not say where the input ends.

    """
    environ = request.environ
    text = environ.get("CONTENT_LENGTH") or ""
    if text:
        if not (text.isascii() and text.isdigit() and len(text) < 30):  # noqa: PLR2004
            raise _bad("Content-Length is not a number")
        return int(text)
    if environ.get("wsgi.input_terminated"):
        return None
    detail = "say how long the body is with Content-Length; this server needs it"
    raise Refused(HTTPStatus.LENGTH_REQUIRED, "Length Required", detail)


def chunks(request: Request, limit: int) -> Iterator[bytes]:
    """Return the bytes of the body as they come; 0 is no limit.

    Raises at once what `length` raises, and on the way:

    Raises:
        Refused: 400, less came than was announced; 413, there are more than
            ``limit``.

    """
    encoding = request.environ.get("HTTP_CONTENT_ENCODING", "identity")
    if encoding.strip().lower() not in ("", "identity"):
        detail = "send the file as it is, without Content-Encoding"
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type", detail
        )
    announced = length(request)
    if limit and announced is not None and announced > limit:
        raise too_large(limit)
    wanted = [
        (name, digests.parsed(request.environ[key], name))
        for name, key in (
            ("Content-Digest", "HTTP_CONTENT_DIGEST"),
            ("Repr-Digest", "HTTP_REPR_DIGEST"),
        )
        if key in request.environ
    ]
    return digests.checked(_read(request, announced, limit), wanted)


def _read(request: Request, announced: int | None, limit: int) -> Iterator[bytes]:
    source = request.environ["wsgi.input"]
    came = 0
    while announced is None or came < announced:
        left = _PIECE if announced is None else min(_PIECE, announced - came)
        try:
            piece = source.read(left)
        except (OSError, EOFError) as error:  # the client is gone
            raise _cut(came, announced) from error
        if not piece:
            break
        came += len(piece)
        if limit and came > limit:
            raise too_large(limit)
        yield piece
    if announced is not None and came < announced:
        raise _cut(came, announced)


def _cut(came: int, announced: int | None) -> Refused:
    of = "" if announced is None else f" of {announced}"
    return _bad(f"the body was cut after {came}{of} bytes; nothing of it is kept")


def json_object(request: Request, known: Mapping[str, type | tuple[type, ...]]) -> Any:
    """Return the JSON object of the body; an empty one where there is no body.

    ``known`` are the members that there can be, with their types.

    Raises:
        Refused: 400, it is none, or has members that are not known; 413, it is long.

    """
    environ = request.environ
    if not environ.get("CONTENT_LENGTH") and not environ.get("wsgi.input_terminated"):
        return {}
    content = b"".join(_read(request, length(request), _JSON_LIMIT))
    if not content.strip():
        return {}
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise _bad("the body is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise _bad(f"the body is no JSON object with {', '.join(known)}")
    for key, value in found.items():
        _check_member(key, value, known)
    return found


def _check_member(
    key: str, value: object, known: Mapping[str, type | tuple[type, ...]]
) -> None:
    if key not in known:
        near = did_you_mean(key, known)
        raise _bad(f"there is no member {key[:80]!a}{near}; there are {list(known)}")
    kinds = known[key]
    kinds = kinds if isinstance(kinds, tuple) else (kinds,)
    is_kind = isinstance(value, kinds) and (
        bool in kinds or not isinstance(value, bool)  # True is an int elsewhere
    )
    if not is_kind:
        names = " or ".join(_JSON_NAMES[kind] for kind in kinds)
        raise _bad(f"the member {key} has to be {names}")
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        raise _bad(f"the member {key} may have {LONGEST_TEXT} characters")


_JSON_NAMES: Mapping[type, str] = {
    bool: "true or false",
    str: "a string",
    int: "a whole number",
    float: "a number",
    list: "a list",
    type(None): "null",
}
