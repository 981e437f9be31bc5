"""Whether a ZEO server answers: its own question, *ruok*.  Effects."""

from __future__ import annotations

import json
import socket
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pointsman.zeo.configured import Configured

_LENGTH = struct.Struct(">I")  # messages are sent behind their lengths
_LONGEST = 1 << 20


def asked(server: Configured, patience: float) -> dict[str, Any] | None:
    """Return what the server says of its storages, by name; None if it does not answer.

    One that speaks TLS only is as good as its word when it accepts a connection: {}.
    """
    try:
        with _connected(server.address, patience) as line:
            if server.encrypted:
                return {}
            line.sendall(_LENGTH.pack(4) + b"ruok")
            _message(line)  # which protocol it speaks
            found = json.loads(_message(line))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def accepts(address: str | tuple[str, int], patience: float) -> bool:
    """Tell whether anybody accepts a connection there."""
    try:
        _connected(address, patience).close()
    except OSError:
        return False
    return True


def _connected(address: str | tuple[str, int], patience: float) -> socket.socket:
    if not isinstance(address, str):
        host, port = address
        return socket.create_connection((host or "127.0.0.1", port), patience)
    line = socket.socket(socket.AF_UNIX)
    try:
        line.settimeout(patience)
        line.connect(address)
    except BaseException:
        line.close()
        raise
    return line


def _message(line: socket.socket) -> bytes:
    (length,) = _LENGTH.unpack(_exactly(line, _LENGTH.size))
    if length > _LONGEST:
        raise ValueError("this is no ZEO server")
    return _exactly(line, length)


def _exactly(line: socket.socket, length: int) -> bytes:
    found = b""
    while len(found) < length:
        piece = line.recv(length - len(found))
        if not piece:
            raise ConnectionResetError
        found += piece
    return found
