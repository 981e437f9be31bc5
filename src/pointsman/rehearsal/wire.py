"""Messages between the processes of a rehearsal: JSON, then bytes.  Effects."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping
    from socket import socket

_HEAD = struct.Struct("!II")  # lengths in bytes: of the JSON, of all that follows


def send(
    connection: socket,
    message: Mapping[str, Any],
    blobs: Mapping[str, bytes] | None = None,
) -> None:
    """Send one message.  Blocks.

    Raises:
        OSError: the other end is gone.

    """
    blobs = blobs or {}
    sizes = {name: len(blob) for name, blob in blobs.items()}
    text = json.dumps({**message, "blobs": sizes}).encode()
    body = b"".join(blobs.values())
    connection.sendall(_HEAD.pack(len(text), len(body)) + text + body)


def receive(connection: socket) -> tuple[dict[str, Any], dict[str, bytes]] | None:
    """Return the next message and its blobs; None when the other end is closed.

    Raises:
        TimeoutError: the connection has a timeout, and it is over.

    """
    head = _exactly(connection, _HEAD.size)
    if head is None:
        return None
    text_length, body_length = _HEAD.unpack(head)
    text = _exactly(connection, text_length)
    body = _exactly(connection, body_length)
    if text is None or body is None:
        return None
    message: dict[str, Any] = json.loads(text)
    blobs, start = {}, 0
    for name, size in message.pop("blobs").items():
        blobs[name] = body[start : start + size]
        start += size
    return message, blobs


def _exactly(connection: socket, length: int) -> bytes | None:
    parts = []
    while length:
        try:
            part = connection.recv(min(length, 1 << 20))
        except ConnectionError:
            return None
        if not part:
            return None
        parts.append(part)
        length -= len(part)
    return b"".join(parts)
