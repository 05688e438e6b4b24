"""Gives every request an id, writes one log line for it, and counts it in the metrics.

These counters belong to one process; `jobs/metrics.py` collects the metrics that come from database rows.
"""

from __future__ import annotations

import logging
import time
import uuid
from functools import cache
from typing import TYPE_CHECKING

import structlog
from prometheus_client import Counter, Histogram

from controlplane.audit import actors
from controlplane.audit.actors import Actor

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest, HttpResponse

logger = logging.getLogger(__name__)

REQUESTS = Counter("isthmus_requests_total", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "isthmus_request_seconds",
    "Time from a request's head to its answer's head.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 100),
)
#: Other methods count as "other": every method name that a client invents would add a time series for ever.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class RequestMiddleware:
    """Adds the request's id (a new one, or the one a proxy sent) and the kubelet's session name to all log lines."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        sent: str = request.META.get("HTTP_X_REQUEST_ID", "")  # request.headers would parse all headers
        is_usable = len(sent) <= 64 and sent.replace("-", "").isalnum()
        request_id = sent if is_usable else uuid.uuid4().hex
        began = time.monotonic()
        nobody = Actor("anonymous", address=request.META.get("REMOTE_ADDR", ""), request_id=request_id)
        with (
            actors.acting(nobody),
            structlog.contextvars.bound_contextvars(
                request=request_id, session=request.META.get("HTTP_INTERLINK_HTTP_SESSION", "")[:100]
            ),
        ):
            response = self.get_response(request)
            took = time.monotonic() - began
            route = request.resolver_match.route if request.resolver_match else "unknown"
            request_done(method=request.method or "", route=route, status=response.status_code, seconds=took)
            logger.info(
                "request",
                extra={
                    "method": request.method,
                    "route": route,
                    "status": response.status_code,
                    "took": round(took, 4),
                },
            )
        response["X-Request-Id"] = request_id
        return response


def request_done(*, method: str, route: str, status: int, seconds: float) -> None:
    """Counts one answered request. `route` is a URL pattern, never a path: paths contain tenants' names."""
    requests, duration = _series(method if method in METHODS else "other", route, status)
    requests.inc()
    duration.observe(seconds)


@cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Returns the counter and the histogram, cached: for /status the look-up takes longer than the counting."""
    return REQUESTS.labels(method, route, str(status)), REQUEST_SECONDS.labels(route)
