"""What operators' tools read of a role: health, metrics, and the API's own description."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rvoip.common.health import Health, HealthReport
from rvoip.common.openapi_page import POLICY, page
from rvoip.common.routing import Reply

if TYPE_CHECKING:
    from rvoip.common.http import API, Call
    from rvoip.common.metrics import Metrics

__all__ = ["serve_health", "serve_metrics", "serve_openapi"]


def serve_health(api: API, health: Health) -> None:
    """Add `/health`, `/health/ready` and `/health/live`, for anyone: 200, or 503 with the reasons."""

    @api.route("GET", "/health", response=HealthReport, is_public=True)
    def get_health(call: Call) -> Reply:
        """Whether new work is welcome, and what each part says."""
        return _reply(health.report(), health.report().ready)

    @api.route("GET", "/health/ready", response=HealthReport, is_public=True)
    def get_ready(call: Call) -> Reply:
        """Whether new work is welcome: what a load balancer asks."""
        return _reply(health.report(), health.report().ready)

    @api.route("GET", "/health/live", response=HealthReport, is_public=True)
    def get_live(call: Call) -> Reply:
        """Whether the process does its work: what a supervisor asks before it restarts one."""
        return _reply(health.live(), health.live().status != "failing")


def _reply(report: HealthReport, well: bool) -> Reply:
    return Reply(report, status=200 if well else 503)


def serve_metrics(api: API, metrics: Metrics) -> None:
    """Add `/metrics`, for anyone, in the text format of Prometheus or OpenMetrics."""

    @api.route("GET", "/metrics", content_type="text/plain", is_public=True)
    def get_metrics(call: Call) -> Reply:
        """All metrics, for Prometheus."""
        body, content_type = metrics.expose(call.header("accept") or "")
        return Reply(body, content_type=content_type)


def serve_openapi(api: API) -> None:
    """Add `/v1/openapi.json`, and `/v1/docs`, the same for people, open to all."""

    @api.route("GET", "/v1/openapi.json", response=dict[str, Any])
    def get_openapi(call: Call) -> dict[str, Any]:
        """This API as an OpenAPI 3.1 document."""
        return api.openapi()

    @api.route("GET", "/v1/docs", content_type="text/html; charset=utf-8", is_public=True)
    def get_docs(call: Call) -> Reply:
        """This API as a page to read."""
        return Reply(page(api.openapi()), headers={"Content-Security-Policy": POLICY})
