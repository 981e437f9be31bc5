"""A response's body of a library's class works for the version that answered.

Mutations that were tried, and fail tests here: ``iter()``, the next chunk, ``close()``,
each called without a frame of the namespace; that frame without built-ins.
"""

from __future__ import annotations

import pickle
from functools import partial
from typing import TYPE_CHECKING

from site_folder import get

if TYPE_CHECKING:
    from site_folder import SiteFolder

SOURCE = """
import pickle
VERSION = 1

class Thing:
    version = VERSION

def application(environ, start_response):
    start_response("200 OK", [])
    return environ["test.body"](pickle.dumps(Thing()))
"""


class HostBody:
    """One chunk; unpickles an object of the service in all that a server calls."""

    def __init__(self, seen: list[int], blob: bytes) -> None:
        """Note the versions of the objects in ``seen``."""
        self._seen, self._blob = seen, blob
        self._chunks = [b"chunk"]

    def __iter__(self) -> HostBody:
        self._look()
        return self

    def __next__(self) -> bytes:
        self._look()
        if not self._chunks:
            raise StopIteration
        return self._chunks.pop()

    def close(self) -> None:
        self._look()

    def _look(self) -> None:
        self._seen.append(pickle.loads(self._blob).version)


def test_a_body_that_is_an_iterator_of_c(site: SiteFolder) -> None:
    """An import from C finds ``__import__`` in the frame that asks for a chunk."""
    site.write(
        "app.py",
        """
        import pickle
        class Own: ...
        def application(environ, start_response):
            start_response("200 OK", [])
            return map(pickle.dumps, [Own()])
        """,
    )

    assert get(site.host(), "/app").body.startswith(b"\x80")


def test_a_body_works_for_its_version_to_the_end(site: SiteFolder) -> None:
    """What is looked up by name while it is sent and closed is the version's own."""
    site.write("app.py", SOURCE)
    host = site.host()
    seen: list[int] = []

    def replaced_before_it_is_sent(blob: bytes) -> HostBody:
        site.write("app.py", SOURCE.replace("VERSION = 1", "VERSION = 2"))
        host.node.reload()
        return HostBody(seen, blob)

    answer = get(host, "/app", **{"test.body": replaced_before_it_is_sent})

    assert b"chunk" == answer.body
    assert [1, 1, 1, 1] == seen
    get(host, "/app", **{"test.body": partial(HostBody, seen)})
    assert [2, 2, 2, 2] == seen[4:]
