"""What Prometheus reads: the host's figures and those of the services.  Edge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import prometheus_client
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pointsman.node import Node
    from pointsman.traffic import Route


def exposition(node: Node) -> tuple[bytes, str]:
    """Return the text of all metrics, and its content type.

    The default registry comes first: there the services' own metrics are.
    """
    ours = prometheus_client.CollectorRegistry(auto_describe=False)
    ours.register(_Figures(node))
    text = generate_latest(prometheus_client.REGISTRY) + generate_latest(ours)
    return text, CONTENT_TYPE_LATEST


class _Figures(prometheus_client.registry.Collector):
    """Reads the figures of a node when it is asked for them."""

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
        generation = GaugeMetricFamily(
            "pointsman_generation", "The generation that serves"
        )
        traffic = self._node.traffic
        generation.add_metric([], traffic.table.generation)
        for node, _ in traffic.table.nodes.values():
            if node is not None and self._node.settings.metrics:
                requests.add_metric([node.mount.service], counted(node))
        old = (one.version for one in self._node.retirement.waiting())
        for version in (*traffic.versions.values(), *old):
            package = version.loaded.package
            labels = [package.name, package.artifact.digest[:12]]
            running.add_metric(labels, len(version.pins))
        yield from (requests, running, generation)


def counted(route: Route) -> int:
    """Return how often ``next`` was called on the route's counter.

    A counter of itertools can be read only by its text: ``count(5)``.
    """
    return int(repr(route.requests)[6:-1]) - 1
