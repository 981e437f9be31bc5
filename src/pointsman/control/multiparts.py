"""Several files in one request (RFC 7578), taken one after the other.  Edge."""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from pointsman.control import digests
from pointsman.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: As many parts are taken in one request.
MOST = 1000
_LONGEST_FIELD = 10_000  # bytes


@dataclass(frozen=True, slots=True)
class File:
    """One file; its ``chunks`` must be read before the next part is asked for."""

    file: str
    chunks: Iterator[bytes]


@dataclass(frozen=True, slots=True)
class Value:
    """One ordinary field of the form."""

    name: str
    value: str


def boundary(content_type: str) -> str:
    """Return the boundary of multipart/form-data.

    Raises:
        Refused: 415, the body is something else.

    """
    kind, options = parse_options_header(content_type)
    found: str = options.get("boundary", "")
    if kind != "multipart/form-data" or not found:
        detail = "send the files as multipart/form-data, one part each"
        raise Refused(
            HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Unsupported Media Type", detail
        )
    return found


def parts(content_type: str, chunks: Iterable[bytes]) -> Iterator[File | Value]:
    """Return the parts, in order, while the body is being read.

    What is left of a file that was not read to its end is skipped.

    Raises:
        Refused: 400, the body is no such form, or ends too early; 413, it has too
            many parts; 415, it is something else; and what ``chunks`` raise.

    """
    events = _events(boundary(content_type), chunks)
    for event in events:
        if isinstance(event, MultipartSegment):
            content = _content(events)
            if event.filename is None:
                yield Value(event.name or "", _text(content))
            else:
                header = event.header("Content-Digest")
                wanted = digests.parsed(header, "Content-Digest") if header else {}
                named = [("Content-Digest", wanted)]
                yield File(event.filename, digests.checked(content, named))


def _events(
    boundary_: str, chunks: Iterable[bytes]
) -> Iterator[MultipartSegment | bytes | bytearray | None]:
    try:
        with PushMultipartParser(boundary_, max_segment_count=MOST) as parser:
            for chunk in chunks:
                # After the last boundary the rest is read and not looked at.
                if not parser.closed:
                    yield from parser.parse(chunk)
    except ParserLimitReached as error:
        detail = f"the form is too large: {error}; it may have {MOST} parts"
        raise Refused(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Content Too Large", detail
        ) from error
    except MultipartError as error:
        detail = f"the form cannot be read: {error}"
        raise Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail) from error


def _content(
    events: Iterator[MultipartSegment | bytes | bytearray | None],
) -> Iterator[bytes]:
    for event in events:
        if not isinstance(event, (bytes, bytearray)):
            return
        yield bytes(event)


def _text(content: Iterator[bytes]) -> str:
    found = bytearray()
    for chunk in content:
        found += chunk
        if len(found) > _LONGEST_FIELD:
            detail = f"a field of the form is longer than {_LONGEST_FIELD} bytes"
            raise Refused(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "Content Too Large", detail
            )
    try:
        return found.decode()
    except UnicodeDecodeError:
        detail = "a field of the form is not UTF-8"
        raise Refused(HTTPStatus.BAD_REQUEST, "Bad Request", detail) from None
