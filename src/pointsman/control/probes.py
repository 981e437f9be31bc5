"""What machines ask: probes, figures, the description of all this.  Edge."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from pointsman.cluster import Role
from pointsman.control import metrics, responses
from pointsman.control.routes import Route

if TYPE_CHECKING:
    from webob import Response

    from pointsman.control.call import Call


def live(_: Call) -> Response:
    """Answer as long as the process does."""
    return responses.of_json({"status": "live"})


def ready(call: Call) -> Response:
    """Tell whether requests should come here: 503 says why not."""
    is_ready, detail = call.node.readiness()
    if call.principal is None and isinstance(detail.get("reason"), str):
        # Anybody may ask; a traceback is for those who are known.
        detail = {**detail, "reason": str(detail["reason"]).partition("\n")[0]}
    status = HTTPStatus.OK if is_ready else HTTPStatus.SERVICE_UNAVAILABLE
    return responses.of_json(detail, status)


def exposition(call: Call) -> Response:
    """Return the figures of this process and its services for Prometheus."""
    content, content_type = metrics.exposition(call.node, call.figures)
    return responses.of_text(content, content_type)


ROUTES = (
    Route("GET", "/health/live", None, live, {200: "Live"}),
    Route("GET", "/health/ready", None, ready, {200: "Ready", 503: "Ready"}),
    Route("GET", "/metrics", Role.VIEWER, exposition, {200: "Metrics"}),
)
