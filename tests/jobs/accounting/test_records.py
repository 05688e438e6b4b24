"""Usage: from the site's own figures, recorded once, and never negative."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jobs.accounting import records
from jobs.models import Job, UsageRecord
from jobs.states import State
from sites.workload import Phase, Report
from tests.factories import make_job

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def usage(job: Job, report: Report | None) -> UsageRecord:
    record = records.usage(job, report, now=NOON + timedelta(hours=5))
    assert record is not None
    return record


def told(**figures: Any) -> Report:
    return Report("k", "7", Phase.SUCCEEDED, **{"started_at": NOON, "ended_at": NOON + timedelta(hours=1), **figures})


def test_the_wall_clock_time_of_the_allocated_resources_is_charged() -> None:
    record = usage(make_job(state=State.SUCCEEDED, cpus=1), told(cpus=8, gpus=2, nodes=2))
    assert (record.cpu_seconds, record.gpu_seconds, record.nodes) == (8 * 3600, 2 * 3600, 2)
    assert not record.estimated


def test_figures_that_the_site_does_not_report_are_the_requested_ones() -> None:
    record = usage(make_job(state=State.SUCCEEDED, cpus=4, gpus=1), told())
    assert (record.cpus, record.gpus, record.nodes) == (4, 1, 1)


def test_without_the_sites_times_our_own_are_used_and_marked() -> None:
    job = make_job(state=State.FAILED, started_at=NOON, ended_at=NOON + timedelta(minutes=2), cpus=3)
    record = usage(job, None)
    assert (record.cpu_seconds, record.estimated) == (360, True)


def test_a_batch_job_that_never_started_costs_nothing() -> None:
    record = usage(make_job(state=State.CANCELLED), told(started_at=None))
    assert (record.cpu_seconds, record.started_at) == (0, None)


def test_a_site_whose_clock_ran_backwards_charges_nothing() -> None:
    record = usage(make_job(state=State.SUCCEEDED), told(ended_at=NOON - timedelta(minutes=1)))
    record.save()
    assert record.cpu_seconds == 0


def test_a_job_that_never_reached_a_site_has_no_usage() -> None:
    job = make_job(state=State.QUEUED)
    assert records.usage(job, None, now=NOON) is None


def test_the_sites_figures_replace_an_estimate() -> None:
    job = make_job(state=State.FAILED)
    usage(job, None).save()
    records.correct([(job, told(cpus=2))], now=NOON)
    record = UsageRecord.objects.get(job=job)
    assert (record.cpu_seconds, record.estimated) == (7200, False)


def test_usage_outlives_its_job() -> None:
    job = make_job(state=State.SUCCEEDED)
    usage(job, told()).save()
    job.delete()
    record = UsageRecord.objects.get()
    assert (record.job, record.pod) == (None, "research/hello")
