"""Which service a path belongs to: an immutable longest-prefix match.  Decisions."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Generic, TypeVar
from urllib.parse import unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Mapping

Target = TypeVar("Target")


class RouteTable(Generic[Target]):
    """Mount paths and their targets.  Never changes; any thread.

    A match costs one dictionary look-up for each segment of the path *that some
    mount shares*, so it depends neither on the number of mounts nor on how much
    path follows after the mount.

    ``nodes`` has each mount path and each of its parents.  Its values are a pair:
    the target or None, and whether longer mounts lie below.
    """

    __slots__ = ("generation", "nodes", "root")

    def __init__(self, generation: int, mounts: Mapping[str, Target]) -> None:
        """Take targets by `mount_key`."""
        self.generation = generation
        nodes: dict[str, tuple[Target | None, bool]] = {}
        for path, target in mounts.items():
            nodes[path] = (target, nodes.get(path, (None, False))[1])
            parent = path
            while parent:
                parent = parent[: parent.rindex("/")]
                nodes[parent] = (nodes.get(parent, (None, False))[0], True)
        self.nodes = nodes
        self.root = nodes.get("", (None, False))

    def match(self, path: str) -> tuple[Target, int] | None:
        """Return the target of the longest mount that ``path`` lies in.

        ``path`` is PATH_INFO as WSGI has it, bytes as latin-1 (PEP 3333).  The
        number is how much of it becomes SCRIPT_NAME.  A mount ``/a`` has ``/a``,
        ``/a/`` and ``/a/b``, and has neither ``/ab`` nor ``//a``: empty segments
        are segments.
        """
        target, deeper = self.root
        best = None if target is None else (target, 0)
        end = 0
        nodes = self.nodes
        while deeper:
            end = path.find("/", end + 1)
            prefix = path if end < 0 else path[:end]
            node = nodes.get(prefix)
            if node is None:
                break
            target, deeper = node
            if target is not None:
                best = (target, len(prefix))
            if end < 0:
                break
        return best


@lru_cache(maxsize=1 << 16)
def mount_key(path: str) -> str:
    """Return a mount path as requests spell it: decoded bytes, as latin-1.

    Percent escapes and the characters that they stand for are the same path.

    Raises:
        ValueError: the path cannot be one; the message says what is accepted.

    """
    if path in ("", "/"):
        return ""
    if not path.startswith("/"):
        message = f"the path {path!r} does not begin with '/'"
        raise ValueError(message)
    raw = unquote_to_bytes(path.encode()).rstrip(b"/")
    segments = raw.split(b"/")[1:]
    if b"" in segments or b"." in segments or b".." in segments:
        message = f"the path {path!r} has an empty, '.' or '..' segment"
        raise ValueError(message)
    if any(byte < 0x20 for byte in raw) or b"?" in raw or b"#" in raw:  # noqa: PLR2004
        message = f"the path {path!r} has a control character, '?' or '#'"
        raise ValueError(message)
    return raw.decode("latin-1")
