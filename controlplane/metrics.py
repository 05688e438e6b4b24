"""The process's own counters for /metrics. What comes from the rows is collected in `jobs/metrics.py`."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

REQUESTS = Counter("isthmus_requests_total", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "isthmus_request_seconds",
    "Time from a request's head to its answer's head.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 100),
)


def request_done(*, method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request. `route` is a URL pattern, never a path: paths hold tenants' names."""
    REQUESTS.labels(method, route, str(status)).inc()
    REQUEST_SECONDS.labels(route).observe(seconds)
