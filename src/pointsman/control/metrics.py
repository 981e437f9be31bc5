"""What Prometheus reads: the host's figures and those of the services.  Edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from pointsman.cluster import State
from pointsman.errors import LedgerError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.control.figures import Figures
    from pointsman.node import Node
    from pointsman.traffic import Route


def exposition(node: Node, figures: Figures) -> tuple[bytes, str]:
    """Return the text of all metrics, and its content type.

    The default registry comes first: there the services' own metrics are.
    """
    ours = prometheus_client.CollectorRegistry(auto_describe=False)
    ours.register(_Traffic(node))
    ours.register(_Deployments(node, figures))
    ours.register(_Cluster(node))
    text = generate_latest(prometheus_client.REGISTRY) + generate_latest(ours)
    return text, CONTENT_TYPE_LATEST


class _Traffic(prometheus_client.registry.Collector):
    """Reads what a node serves when it is asked for it."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Any]:
        requests = CounterMetricFamily(
            "pointsman_requests",
            "Requests that a service was given",
            labels=["service"],
        )
        running = GaugeMetricFamily(
            "pointsman_requests_in_flight",
            "Requests that a version of a package is serving",
            labels=["package", "digest"],
        )
        traffic = self._node.traffic
        for node, _ in traffic.table.nodes.values():
            if node is not None and self._node.settings.metrics:
                requests.add_metric([node.mount.service], counted(node))
        old = (one.version for one in self._node.retirement.waiting())
        for version in (*traffic.versions.values(), *old):
            package = version.loaded.package
            labels = [package.name, package.artifact.digest[:12]]
            running.add_metric(labels, len(version.pins))
        yield from (requests, running)


class _Deployments(prometheus_client.registry.Collector):
    """Reads what became of deployments, in this process."""

    def __init__(self, node: Node, figures: Figures) -> None:
        self._node = node
        self._figures = figures

    def collect(self) -> Iterator[Any]:
        yield GaugeMetricFamily(
            "pointsman_generation",
            "The generation of the ledger that this process serves",
            value=self._node.generation,
        )
        switches = CounterMetricFamily(
            "pointsman_switches", "How often this process switched what it serves"
        )
        switches.add_metric([], self._node.traffic.table.generation)
        yield switches
        deployments = CounterMetricFamily(
            "pointsman_deployments",
            "Deployments that were asked of this process and waited for",
            labels=["outcome"],
        )
        for outcome, number in sorted(self._figures.deployments().items()):
            deployments.add_metric([outcome], number)
        uploads = CounterMetricFamily(
            "pointsman_uploads",
            "Artifacts that came to this process",
            labels=["outcome"],
        )
        counted_, size = self._figures.uploads()
        for outcome, number in sorted(counted_.items()):
            uploads.add_metric([outcome], number)
        received = CounterMetricFamily(
            "pointsman_uploaded_bytes", "Bytes of the artifacts that were accepted"
        )
        received.add_metric([], size)
        yield from (deployments, uploads, received)
        yield from self._reported()

    def _reported(self) -> Iterator[Any]:
        report = self._node.report()
        for name, member, about in (
            ("lingering", "lingering", "Replaced versions that requests hold on to"),
            ("stuck", "stuck", "Packages whose load has not come back"),
        ):
            found = report.get(member)
            number = len(found) if isinstance(found, (list, tuple)) else 0
            yield GaugeMetricFamily(f"pointsman_{name}", about, value=number)
        directories = report.get("directories")
        held = [
            each
            for each in (directories if isinstance(directories, list) else ())
            if isinstance(each, dict) and each.get("held")
        ]
        yield GaugeMetricFamily(
            "pointsman_directories_held",
            "Directories that are not believed at the moment",
            value=len(held),
        )


class _Cluster(prometheus_client.registry.Collector):
    """Reads what the ledger says; only that, when it cannot be read."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def collect(self) -> Iterator[Any]:
        try:
            found = list(self._figures())
        except LedgerError:
            found = []
        yield GaugeMetricFamily(
            "pointsman_ledger_up", "1 while the ledger can be read", value=bool(found)
        )
        yield from found

    def _figures(self) -> Iterator[Any]:
        ledger = self._node.ledger
        now = ledger.observe("").now
        nodes = GaugeMetricFamily(
            "pointsman_node", "1 for the state of a node", labels=["node", "state"]
        )
        for node in ledger.nodes():
            alive = node.lease_until > now
            nodes.add_metric([node.id, str(node.state) if alive else "silent"], 1)
        yield nodes
        yield from self._staged()

    def _staged(self) -> Iterator[Any]:
        staged = GaugeMetricFamily(
            "pointsman_staging_seconds",
            "How long the nodes took to load and vote on the newest active generation",
        )
        for generation in self._node.ledger.generations(limit=20):
            began, ended = generation.staged_at, generation.decided_at
            if generation.state is State.ACTIVE and began and ended:
                staged.add_metric([], max(0.0, ended - began))
        yield staged


def counted(route: Route) -> int:
    """Return how often ``next`` was called on the route's counter.

    A counter of itertools can be read only by its text: ``count(5)``.
    """
    return int(repr(route.requests)[6:-1]) - 1
