"""The process's own counters for /metrics. What comes from the rows is collected in `jobs/metrics.py`."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Histogram

REQUESTS = Counter("isthmus_requests_total", "Requests answered.", ["method", "route", "status"])
REQUEST_SECONDS = Histogram(
    "isthmus_request_seconds",
    "Time from a request's head to its answer's head.",
    ["route"],
    buckets=(0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 100),
)


#: Whatever else a client calls a method would be one more series for ever.
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def request_done(*, method: str, route: str, status: int, seconds: float) -> None:
    """Count one answered request. `route` is a URL pattern, never a path: paths hold tenants' names."""
    requests, duration = _series(method if method in METHODS else "other", route, status)
    requests.inc()
    duration.observe(seconds)


@cache
def _series(method: str, route: str, status: int) -> tuple[Counter, Histogram]:
    """Looked up once: for /status that takes longer than the counting."""
    return REQUESTS.labels(method, route, str(status)), REQUEST_SECONDS.labels(route)
