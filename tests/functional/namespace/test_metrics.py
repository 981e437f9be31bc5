"""Metrics at module level: one state for all versions of a package.

Mutations that were tried, and fail tests here: the values not taken over; the
metrics of the version that goes on not put back when another is released.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import prometheus_client
import pytest

from functional.namespace.two_versions import Held, write_asked
from site_folder import outcomes, statuses
from waiting import wait_for

if TYPE_CHECKING:
    from functional.namespace.two_versions import TwoVersions
    from site_folder import SiteFolder


def value(name: str, **labels: str) -> float | None:
    """Return a sample of the default registry."""
    return prometheus_client.REGISTRY.get_sample_value(name, labels)


UNLABELLED = """
    import prometheus_client
    VERSION = 1
    calls = prometheus_client.Counter("test_calls", "Calls")
    def count():
        calls.inc()
        return VERSION
    def read():
        return prometheus_client.REGISTRY.get_sample_value("test_calls_total")
"""


def test_a_counter_survives(versions: TwoVersions) -> None:
    """A counter goes on with its count, and both versions count into it."""
    versions.serve({"app.py": UNLABELLED})

    assert 0.0 == value("test_calls_total")
    assert (1, 2) == versions.ask("count")
    assert 4.0 == value("test_calls_total")
    assert (4.0, 4.0) == versions.ask("read")


def test_a_counter_survives_many_reloads(site: SiteFolder) -> None:
    """A count is not lost when the version that registered it ends."""
    write_asked(site, "app.py", UNLABELLED)
    host = site.host()
    for number in range(5):
        write_asked(site, "app.py", UNLABELLED + f"    # {number}\n")
        host.node.reload()
        held = Held(host, "/app")
        held.ask("count")
        held.close()
    wait_for(lambda: not host.node.retirement.waiting(), "old versions end")

    assert 5.0 == value("test_calls_total")


LABELLED = """
    import prometheus_client
    VERSION = 1
    calls = prometheus_client.Counter("test_calls", "Calls", ["kind"])
    taken = prometheus_client.Histogram("test_taken", "Taken", ["kind"], buckets=(1, 5))
    level = prometheus_client.Gauge("test_level", "Level")
    plain = prometheus_client.Summary("test_plain", "Plain")
    about = prometheus_client.Info("test_about", "About")
    early = calls.labels("early")
    def count():
        calls.labels("late").inc()
        early.inc()
        taken.labels("x").observe(3)
        level.inc()
        plain.observe(2)
        about.info({"set": "yes"})
"""


def test_all_kinds_of_metrics_survive(versions: TwoVersions) -> None:
    """Labelled children, histograms, gauges and summaries are one for both versions."""
    versions.serve({"app.py": LABELLED})
    versions.ask("count")

    assert 4.0 == value("test_calls_total", kind="late")
    assert 4.0 == value("test_calls_total", kind="early")
    assert 4.0 == value("test_taken_bucket", kind="x", le="5.0")
    assert 12.0 == value("test_taken_sum", kind="x")
    assert 4.0 == value("test_level")
    assert 4.0 == value("test_plain_count")
    assert 1.0 == value("test_about_info", set="yes")


def test_an_enum_starts_anew(versions: TwoVersions) -> None:
    """An Enum may have other states in the next version, so it is that version's."""
    source = """
        import prometheus_client
        state = prometheus_client.Enum("test_state", "State", states=["up", "down"])
        def set(to):
            state.state(to)
    """
    versions.serve({"app.py": source}, {"app.py": source.replace("down", "away")})
    versions.old.ask("set", "down")
    versions.new.ask("set", "away")

    assert 1.0 == value("test_state", test_state="away")
    assert None is value("test_state", test_state="down")


def test_changed_labels_replace_a_metric(versions: TwoVersions) -> None:
    """A counter with other labels starts anew; the old one counts for itself."""
    changed = UNLABELLED.replace('"Calls")', '"Calls", ["kind"])').replace(
        "calls.inc()", 'calls.labels("a").inc()'
    )
    versions.serve({"app.py": UNLABELLED}, {"app.py": changed})
    versions.ask("count")

    assert None is value("test_calls_total")
    assert 2.0 == value("test_calls_total", kind="a")


def test_changed_buckets_replace_a_histogram(versions: TwoVersions) -> None:
    """A histogram with other buckets starts anew."""
    source = """
        import prometheus_client
        taken = prometheus_client.Histogram("test_taken", "Taken", buckets=(1, 5))
        def observe():
            taken.observe(3)
    """
    versions.serve({"app.py": source}, {"app.py": source.replace("(1, 5)", "(1, 4)")})
    versions.ask("observe")

    assert None is value("test_taken_bucket", le="5.0")
    assert 2.0 == value("test_taken_bucket", le="4.0")


def test_a_removed_metric_disappears(site: SiteFolder) -> None:
    """A metric that the new version has not goes when the old one has ended."""
    write_asked(site, "app.py", UNLABELLED)
    host = site.host()
    held = Held(host, "/app")
    held.ask("count")
    site.write("app.py", "VERSION = 2\n")
    assert {"app": "updated"} == statuses(host.node.reload())

    assert 1.0 == value("test_calls_total")
    held.ask("count")
    assert 2.0 == value("test_calls_total")
    held.close()
    wait_for(lambda: value("test_calls_total") is None, "the metric disappears")


def test_a_metric_that_comes_back(site: SiteFolder) -> None:
    """A metric that one version left out starts anew in the next that has it."""
    write_asked(site, "app.py", UNLABELLED)
    host = site.host()
    for source in ("VERSION = 2\n", UNLABELLED):
        write_asked(site, "app.py", source)
        assert {"app": "updated"} == statuses(host.node.reload())
        wait_for(lambda: not host.node.retirement.waiting(), "old versions end")

    assert 0.0 == value("test_calls_total")


@pytest.mark.parametrize(
    "broken", ["raise ValueError('late')", "calls.labels('there are none')"]
)
def test_a_failed_reload_leaves_the_metric(site: SiteFolder, broken: str) -> None:
    """After a reload that failed, the old version's metric counts and is shown."""
    write_asked(site, "app.py", UNLABELLED)
    host = site.host()
    held = Held(host, "/app")
    held.ask("count")
    site.write("app.py", UNLABELLED + "    " + broken + "\n")
    assert {"app": "failed"} == statuses(host.node.reload())
    held.ask("count")
    held.close()

    assert 2.0 == value("test_calls_total")


def test_a_failed_reload_with_changed_labels(site: SiteFolder) -> None:
    """A reload that fails after it has replaced a metric puts the old one back."""
    write_asked(site, "app.py", UNLABELLED)
    host = site.host()
    held = Held(host, "/app")
    held.ask("count")
    changed = UNLABELLED.replace('"Calls")', '"Calls", ["kind"])')
    site.write("app.py", changed + "    raise ValueError('late')\n")
    assert {"app": "failed"} == statuses(host.node.reload())
    held.ask("count")
    held.close()

    assert 2.0 == value("test_calls_total")


def test_a_new_metric_of_a_failed_reload(site: SiteFolder) -> None:
    """A metric that only a failed version had is not shown."""
    site.write("app.py", "VERSION = 1\n")
    host = site.host()
    site.write("app.py", UNLABELLED + "    raise ValueError('late')\n")
    assert {"app": "failed"} == statuses(host.node.reload())

    assert None is value("test_calls_total")


def test_two_packages_with_one_metric(site: SiteFolder) -> None:
    """The metric of another package is a duplicate, as it is without reloads."""
    site.write("app.py", UNLABELLED)
    site.write("other.py", UNLABELLED)
    host = site.host()
    failed = outcomes(host.node.reload())

    assert "Duplicated timeseries" in failed["other"].reason
    assert "unchanged" == failed["app"].status
    assert 0.0 == value("test_calls_total")


def test_metrics_go_with_their_package(site: SiteFolder) -> None:
    """A package that is taken away takes its metrics with it."""
    path = site.write("app.py", UNLABELLED)
    host = site.host()
    assert 0.0 == value("test_calls_total")
    path.unlink()
    assert {"app": "removed"} == statuses(host.node.reload())

    wait_for(lambda: value("test_calls_total") is None, "the metric disappears")


def test_a_metric_made_while_serving(versions: TwoVersions) -> None:
    """A metric made by a request, not at import, is its version's as well."""
    source = """
        import prometheus_client
        made = []
        def count():
            if not made:
                made.append(prometheus_client.Counter("test_late", "Late"))
            made[0].inc()
    """
    versions.serve({"app.py": source}, {"app.py": source.replace("[]", "list()")})
    versions.ask("count")

    assert 4.0 == value("test_late_total")


def test_a_collector_of_ones_own(site: SiteFolder) -> None:
    """A custom collector is replaced by the one of the next version."""
    source = """
        import prometheus_client
        from prometheus_client.core import GaugeMetricFamily
        VERSION = 1
        class Own:
            def describe(self):
                yield GaugeMetricFamily("test_own", "Own")
            def collect(self):
                yield GaugeMetricFamily("test_own", "Own", value=VERSION)
        prometheus_client.REGISTRY.register(Own())
    """
    path = site.write("app.py", source)
    host = site.host()
    assert 1.0 == value("test_own")
    site.write("app.py", source.replace("VERSION = 1", "VERSION = 2"))
    assert {"app": "updated"} == statuses(host.node.reload())
    wait_for(lambda: not host.node.retirement.waiting(), "the old version ends")
    assert 2.0 == value("test_own")
    path.unlink()
    host.node.reload()

    wait_for(lambda: value("test_own") is None, "the collector disappears")
