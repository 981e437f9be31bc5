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

    A match costs one dictionary look-up for each place on the path *where mounts
    part or end*, so it depends neither on the number of mounts nor on how much path
    follows after the mount.

    ``nodes`` has each mount path and each of its parents.  Its values are a pair:
    the target or None, and where the next segment ends at the earliest at which
    longer mounts part or end (0: there are none).  So a chain of segments that all
    mounts below share is one step.

    ``generation`` counts the tables of this process.  ``number`` is the ledger's for
    what the table leads to, 0 for none, and ``header`` says it in answers: who has
    the table has both.
    """

    __slots__ = ("generation", "header", "mounts", "nodes", "number", "root")

    def __init__(
        self,
        generation: int,
        mounts: Mapping[str, Target],
        number: int = 0,
        like: RouteTable[Target] | None = None,
    ) -> None:
        """Take targets by `mount_key`; it is quicker where ``like`` has just those."""
        self.generation = generation
        self.number = number
        self.header = ("Pointsman-Generation", str(number))
        self.mounts = mounts
        self.nodes: dict[str, tuple[Target | None, int]]
        if like is not None and like.mounts.keys() == mounts.keys():
            self.nodes = dict(like.nodes)
            for path, target in mounts.items():
                if like.mounts[path] is not target:
                    self.nodes[path] = target, self.nodes[path][1]
        else:
            self.nodes = _nodes(mounts)
        self.root = self.nodes[""]

    def match(self, path: str) -> tuple[Target, int] | None:
        """Return the target of the longest mount that ``path`` lies in.

        ``path`` is PATH_INFO as WSGI has it, bytes as latin-1 (PEP 3333).  The
        number is how much of it becomes SCRIPT_NAME.  A mount ``/a`` has ``/a``,
        ``/a/`` and ``/a/b``, and has neither ``/ab`` nor ``//a``: empty segments
        are segments.
        """
        target, start = self.root
        best = None if target is None else (target, 0)
        nodes = self.nodes
        while start:
            end = path.find("/", start)
            prefix = path if end < 0 else path[:end]
            node = nodes.get(prefix)
            if node is None:
                break
            target, start = node
            if target is not None:
                best = (target, len(prefix))
            if end < 0:
                break
        return best


def _nodes(mounts: Mapping[str, Target]) -> dict[str, tuple[Target | None, int]]:
    """Return the nodes of a table; see there."""
    parents = {"": ""}
    for mount in mounts:
        path = mount
        while path not in parents:
            parents[path] = parent = path[: path.rindex("/")]
            path = parent
    del parents[""]
    only: dict[str, str | None] = {}  # a path's only child; None: it has more
    for child, parent in parents.items():
        only[parent] = None if parent in only else child
    return {
        path: (mounts.get(path), _next(path, only, mounts)) for path in ("", *parents)
    }


def _next(
    path: str, only: Mapping[str, str | None], mounts: Mapping[str, object]
) -> int:
    """Return the length of the next path at which mounts below part or end."""
    while (child := only.get(path, "")) and child not in mounts:
        path = child
    if child is None:
        return len(path) + 1
    return len(child)


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
