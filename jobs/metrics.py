"""/metrics: figures from the rows about the service's health, and the process's own counters.

Each figure is read from a partial index over live jobs, so a scrape costs the same with a million ended jobs.
"""

from __future__ import annotations

import logging
import os
import secrets
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.db.models import Count, Min
from django.http import HttpResponse
from django.utils import timezone
from django.views.decorators.http import require_safe
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from controlplane.tenants.scope import seeing_everything
from jobs.models import Heartbeat, Job
from jobs.states import ALIVE, State
from sites.models import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime

    from django.http import HttpRequest
    from prometheus_client.registry import Collector

logger = logging.getLogger(__name__)

#: kind of work -> its column, and the state that the column's partial index is limited to
_DUE: dict[str, tuple[str, State | None]] = {
    "start": ("next_start_at", State.HELD),
    "submit": ("next_submit_at", State.QUEUED),
    "find": ("next_find_at", State.SUBMITTING),
    "cancel": ("next_cancel_at", None),
    "archive": ("next_archive_at", None),
    "clean": ("next_clean_at", None),
}


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The page. Where ISTHMUS_METRICS_TOKEN is set, the request must carry it as a bearer token, or gets 401."""
    presented = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if settings.METRICS_TOKEN and not secrets.compare_digest(presented.encode(), settings.METRICS_TOKEN.encode()):
        return HttpResponse("Send the metrics token as a bearer token.\n", status=401, content_type="text/plain")
    return HttpResponse(generate_latest(_counters()) + _rows(), content_type=CONTENT_TYPE_LATEST)


def _rows() -> bytes:
    """The figures from the rows. While PostgreSQL is away, only isthmus_database_up: the counters are still shown."""
    registry = CollectorRegistry()
    try:
        registry.register(Rows())
        figures = generate_latest(registry)
    except (OperationalError, InterfaceError) as error:
        logger.warning("database away", extra={"why": type(error).__name__})
        return _database_up(0)
    return figures + _database_up(1)


def _database_up(value: int) -> bytes:
    registry = CollectorRegistry()
    Gauge("isthmus_database_up", "Whether PostgreSQL answered this scrape.", registry=registry).set(value)
    return generate_latest(registry)


def _counters() -> CollectorRegistry:
    """This process's counters, or those of all web processes where they share a folder."""
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        return REGISTRY
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return registry


class Rows:
    """A Prometheus collector over the rows."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        now = timezone.now()
        with seeing_everything():
            beats = GaugeMetricFamily("isthmus_beat_age_seconds", "Since each periodic task last ran.", labels=["task"])
            for name, at in Heartbeat.objects.values_list("name", "at"):
                beats.add_metric([name], _age(at, now))
            families = [_jobs(), _oldest_due(now), *_sites(now), beats]
        yield from families


def _jobs() -> GaugeMetricFamily:
    family = GaugeMetricFamily("isthmus_jobs", "Jobs that have not ended, by state.", labels=["state"])
    rows = Job.objects.filter(state__in=ALIVE).values_list("state").annotate(Count("pk"))
    counted = dict(rows.order_by())
    for state in sorted(ALIVE):
        family.add_metric([state], counted.get(state, 0))
    return family


def _oldest_due(now: datetime) -> GaugeMetricFamily:
    family = GaugeMetricFamily(
        "isthmus_oldest_due_seconds",
        "For how long the oldest due row of each kind of work has waited.",
        labels=["work"],
    )
    for work, (column, state) in _DUE.items():
        due = Job.objects.filter(**{f"{column}__lte": now})
        if state:
            due = due.filter(state=state)
        family.add_metric([work], _age(due.aggregate(at=Min(column))["at"], now))
    return family


def _sites(now: datetime) -> Iterator[GaugeMetricFamily]:
    poll = GaugeMetricFamily("isthmus_site_poll_age_seconds", "Since the site's last answered poll.", labels=["site"])
    silent = GaugeMetricFamily("isthmus_site_silent_seconds", "For how long the site has been silent.", labels=["site"])
    for slug, polled, silent_since in Site.objects.filter(enabled=True).values_list(
        "slug", "polled_at", "silent_since"
    ):
        if polled:
            poll.add_metric([slug], _age(polled, now))
        silent.add_metric([slug], _age(silent_since, now))
    yield poll
    yield silent


def _age(moment: datetime | None, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds()) if moment else 0.0


if TYPE_CHECKING:
    _: Collector = Rows()
