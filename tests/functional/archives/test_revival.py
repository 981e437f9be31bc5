"""A version that was replaced and is still warm serves again.

Broken on purpose, and seen to fail: handlers not attached again; attached twice;
handlers attached that the version had taken away; metrics of the version in between
left in the registry.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import prometheus_client

from pointsman.namespace import handlers, registries

if TYPE_CHECKING:
    import pytest

    from functional.archives.place import Site
    from pointsman.namespace.space import Namespace
    from pointsman.runtime.inprocess import Loaded

SOURCE = """
import logging
import prometheus_client
VERSION = {version}
lines = []

class Handler(logging.Handler):
    def emit(self, record):
        lines.append(record.getMessage())

gone = Handler()
log = logging.getLogger("revived")
log.addHandler(Handler())
log.addHandler(gone)
log.removeHandler(gone)
same = prometheus_client.Counter("revived_calls", "Calls.")
other = prometheus_client.Gauge("revived_value", "Value.", [{labels!r}])
"""


def version(place: Site, number: int, labels: str) -> Loaded:
    """Deploy a version of one module, and return it."""
    source = SOURCE.format(version=number, labels=labels)
    place.deploy(place.package(source.encode(), "revived.py"))
    return place.active["revived"]


def space(loaded: Loaded) -> Namespace:
    """Return the namespace of a version."""
    assert loaded.space is not None
    return loaded.space


def module(loaded: Loaded) -> Any:
    """Return the module of a version."""
    return space(loaded).modules["revived"]


def shown() -> str:
    """Return what a scrape of the metrics gets of these."""
    text = prometheus_client.generate_latest().decode()
    lines = [line for line in text.splitlines() if line.startswith("revived_")]
    return "\n".join(line for line in lines if "_created" not in line)


def test_log_handlers(place: Site) -> None:
    """Each line is logged by the version that serves, once, over many revivals."""
    first = version(place, 1, "a")
    second = version(place, 2, "a")
    log = logging.getLogger("revived")
    registries.silence(space(first))
    log.warning("of the second")
    for number in range(3):
        registries.revive(space(first))
        registries.silence(space(second))
        log.warning("of the first %d", number)
        registries.revive(space(second))
        registries.silence(space(first))
        log.warning("of the second %d", number)

    assert [f"of the first {n}" for n in range(3)] == module(first).lines
    expected = ["of the second", *(f"of the second {n}" for n in range(3))]
    assert expected == module(second).lines
    place.close()
    assert [] == log.handlers


def test_silenced_twice(place: Site) -> None:
    """A version that is silenced twice is as loud as before when it is revived."""
    first = version(place, 1, "a")
    registries.silence(space(first))
    registries.silence(space(first))
    registries.revive(space(first))
    registries.revive(space(first))

    assert 1 == len(logging.getLogger("revived").handlers)


def test_metrics(place: Site) -> None:
    """A metric goes on counting over revivals; others are those of who serves."""
    first = version(place, 1, "a")
    module(first).same.inc()
    module(first).other.labels("x").set(1)
    second = version(place, 2, "b")
    module(second).same.inc()
    module(second).other.labels("y").set(2)
    assert 'revived_calls_total 2.0\nrevived_value{b="y"} 2.0' == shown()
    registries.revive(space(first))
    module(first).same.inc()

    assert 'revived_calls_total 3.0\nrevived_value{a="x"} 1.0' == shown()
    place.runtime.forget(second, first)
    assert 'revived_calls_total 3.0\nrevived_value{a="x"} 1.0' == shown()
    registries.revive(space(first))
    assert 'revived_calls_total 3.0\nrevived_value{a="x"} 1.0' == shown()
    place.runtime.forget(first, None)
    assert "" == shown()


def test_a_metric_of_the_host_stays(place: Site) -> None:
    """A metric of the host that has taken the name meanwhile is left alone."""
    first = version(place, 1, "a")
    for collector in (module(first).same, module(first).other):
        prometheus_client.REGISTRY.unregister(collector)
    hosts = prometheus_client.Counter("revived_calls", "The host's.")
    registries.revive(space(first))

    assert hosts in prometheus_client.REGISTRY._collector_to_names
    assert module(first).same not in prometheus_client.REGISTRY._collector_to_names
    prometheus_client.REGISTRY.unregister(hosts)


def test_a_logger_that_fails(
    place: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A logger that cannot be changed is logged, and stops nothing."""
    first = version(place, 1, "a")
    registries.silence(space(first))

    def broken(*_arguments: object) -> None:
        raise RuntimeError("broken")

    with monkeypatch.context() as patched:
        patched.setattr(handlers, "_attach", broken)
        registries.revive(space(first))

    assert "RuntimeError: broken" in caplog.text
