"""Whose code calls: told by marked frames."""

from __future__ import annotations

import threading
from pathlib import Path
from types import FunctionType
from typing import Any

from pointsman.model import Artifact, Kind, Package
from pointsman.namespace import callers
from pointsman.namespace.space import Namespace


def space(name: str) -> Namespace:
    """Make a namespace without modules."""
    artifact = Artifact(name, Kind.MODULE, {f"{name}.py": b""}, "nowhere")
    return Namespace(Package(name, artifact), Path("/nowhere"))


def _call(function: Any, *arguments: Any) -> Any:
    return function(*arguments)


def frame(name: str, mark: Namespace | None = None) -> Any:
    """Return a function that calls another from a frame of a module ``name``."""
    scope: dict[str, Any] = {"__name__": name}
    if mark is not None:
        scope[callers.MARK] = mark
    return FunctionType(_call.__code__, scope)


def test_nearest() -> None:
    """The nearest marked frame counts, however many of the host are between."""
    one, two = space("one"), space("two")
    host, of_one, of_two = frame("json"), frame("one", one), frame("two", two)

    assert None is host(callers.nearest)
    assert one is of_one(host, callers.nearest)
    assert two is of_one(host, of_two, host, callers.nearest)
    assert [two, one] == of_one(host, of_two, host, lambda: list(callers.on_stack()))


def test_directly() -> None:
    """Only the frame that calls into the library counts, behind the library's own."""
    one = space("one")
    of_one, library = frame("one", one), frame("logging.config")

    assert one is of_one(library, frame("logging"), callers.directly, "logging")
    assert one is of_one(frame("pointsman.x"), library, callers.directly, "logging")
    assert None is of_one(frame("click"), library, callers.directly, "logging")
    assert None is library(callers.directly, "logging")


def test_marked() -> None:
    """A marked call is one of its namespace."""
    one = space("one")

    assert one is callers.marked(one)(callers.nearest)
    assert None is callers.marked(None)(callers.nearest)


def test_threads() -> None:
    """A thread that was started for a namespace counts for it while that is in use."""
    from pointsman.namespace import registries

    registries.install()
    one = space("one")
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(callers.nearest()))
    frame("one", one)(thread.start)
    thread.join()
    late = threading.Thread(target=lambda: found.append(callers.nearest()))
    one.forgotten = True
    frame("one", one)(late.start)
    late.join()

    assert [one, None] == found
