"""The headers Content-Digest and Repr-Digest (RFC 9530).  Decisions."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import TYPE_CHECKING

from pointsman.errors import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: The algorithms that the registry of RFC 9530 does not call insecure.
ALGORITHMS = {"sha-256": "sha256", "sha-512": "sha512"}

# A member of a dictionary whose value is a byte sequence (RFC 9651): its parameters,
# if it has any, say nothing here.
_MEMBER = re.compile(
    r"[ \t]*(?P<key>[a-z*][a-z0-9_.*-]*)=:(?P<value>[A-Za-z0-9+/=]*):"
    r'(?:;[ ]*[a-z*][a-z0-9_.*-]*(?:=[^,;"]*)?)*[ \t]*(?P<end>,|\Z)'
)


def parsed(header: str, name: str) -> dict[str, bytes]:
    """Return the digests of a header by algorithm, those that are known here.

    Raises:
        Refused: 400, it is no such header.

    """
    found: dict[str, bytes] = {}
    at = 0
    more = True
    while more:
        match = _MEMBER.match(header, at)
        if match is None:
            raise _malformed(name)
        at, more = match.end(), match["end"] == ","
        if match["key"] in ALGORITHMS:
            found[match["key"]] = _digest(match["key"], match["value"], name)
    return found


def _digest(algorithm: str, value: str, name: str) -> bytes:
    try:
        digest = base64.b64decode(value, validate=True)
    except binascii.Error:
        raise _malformed(name) from None
    if len(digest) != hashlib.new(ALGORITHMS[algorithm]).digest_size:
        raise _malformed(name)
    return digest


def _malformed(name: str) -> Refused:
    detail = (
        f"the header {name} cannot be read; it is like sha-256=:BASE64: (RFC 9530), "
        "also with sha-512"
    )
    return Refused(400, "Bad Request", detail)


def checked(
    chunks: Iterable[bytes], wanted: Iterable[tuple[str, Mapping[str, bytes]]]
) -> Iterator[bytes]:
    """Hand bytes through; at their end, compare them with digests by header name.

    Raises:
        Refused: 400, they have another one.

    """
    headers = [(name, digests) for name, digests in wanted if digests]
    kinds = {kind for _, digests in headers for kind in digests}
    totals = {kind: hashlib.new(ALGORITHMS[kind]) for kind in kinds}
    for chunk in chunks:
        for total in totals.values():
            total.update(chunk)
        yield chunk
    for name, digests in headers:
        for kind, digest in digests.items():
            if totals[kind].digest() != digest:
                came = base64.b64encode(totals[kind].digest()).decode()
                detail = (
                    f"what came has another digest than {name} says: "
                    f"{kind}=:{came}:; send it again"
                )
                raise Refused(400, "Bad Request", detail)
