from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from prometheus_client.parser import text_string_to_metric_families

from jobs.models import Heartbeat
from jobs.states import State
from tests.database_roles import database_away
from tests.factories import make_job, make_site

if TYPE_CHECKING:
    from pytest_django import Settings

pytestmark = pytest.mark.django_db


def scraped() -> dict[tuple[str, str], float]:
    """Return the samples: (name, value of its only label) -> figure."""
    page = Client().get("/metrics").content.decode()
    return {
        (sample.name, next(iter(sample.labels.values()), "")): sample.value
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def test_live_jobs_are_counted_by_state() -> None:
    make_job(state=State.RUNNING)
    make_job(state=State.RUNNING)
    make_job(state=State.FAILED)
    figures = scraped()
    assert figures["isthmus_jobs", "running"] == 2
    assert figures["isthmus_jobs", "held"] == 0
    assert ("isthmus_jobs", "failed") not in figures


def test_the_oldest_due_row_shows_how_far_behind_the_workers_are() -> None:
    make_job(next_submit_at=timezone.now() - timedelta(minutes=5))
    make_job(next_submit_at=timezone.now() + timedelta(minutes=5))
    assert scraped()["isthmus_oldest_due_seconds", "submit"] == pytest.approx(300, abs=30)


def test_a_sites_silence_and_the_age_of_its_poll_are_shown() -> None:
    then = timezone.now() - timedelta(minutes=1)
    make_site(slug="vega", polled_at=then, silent_since=then, next_probe_at=then)
    figures = scraped()
    assert figures["isthmus_site_poll_age_seconds", "vega"] == pytest.approx(60, abs=30)
    assert figures["isthmus_site_silent_seconds", "vega"] == pytest.approx(60, abs=30)


def test_the_age_of_the_beat_is_shown() -> None:
    Heartbeat.beat("tick")
    assert scraped()["isthmus_beat_age_seconds", "tick"] < 30


def test_requests_are_counted_by_route_never_by_path() -> None:
    Client().get("/healthz")
    Client().get("/some/tenants/secret/path")
    page = Client().get("/metrics").content.decode()
    assert 'route="healthz"' in page
    assert "secret" not in page


def test_a_scrape_takes_as_many_statements_for_many_jobs() -> None:
    with CaptureQueriesContext(
        connection,
    ) as few:
        scraped()
    for _ in range(20):
        make_job(state=State.PENDING)
    with CaptureQueriesContext(connection) as many:
        scraped()
    assert len(many) == len(few)


def test_a_metrics_token_protects_the_page(settings: Settings) -> None:
    settings.METRICS_TOKEN = "only for the scraper"
    assert Client().get("/metrics").status_code == 401
    assert Client().get("/metrics", headers={"Authorization": "Bearer only for the scraper"}).status_code == 200


@pytest.mark.django_db(transaction=True)
def test_with_the_database_away_the_counters_are_still_served() -> None:
    Client().get("/healthz")
    assert scraped()["isthmus_database_up", ""] == 1
    with database_away():
        figures = scraped()
    assert figures["isthmus_database_up", ""] == 0
    assert ("isthmus_requests_total", "GET") in figures
    assert ("isthmus_jobs", "held") not in figures
