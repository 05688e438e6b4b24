"""What is deleted, when, and what must be deleted first."""

from __future__ import annotations

import uuid
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.contrib.sessions.models import Session
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.utils import timezone

from jobs.models import ArchivedLog, Job, Tombstone, UsageRecord
from jobs.states import State
from jobs.sweeps import retention
from tests.factories import make_job
from tests.jobs.clock import clean_now, poll_now, submit_now

if TYPE_CHECKING:
    from pytest_django import Settings

    from controlplane.tenants.models import VirtualNode
    from sites.connectors.memory.site import MemorySite
    from sites.models import Site


def sweep(days: float) -> dict[str, int]:
    return retention.forget_the_old(now=timezone.now() + timedelta(days=days))


def archived(job: Job) -> ArchivedLog:
    path = storages["logs"].save(f"{job.key}/main.gz", ContentFile(b"x"))
    return ArchivedLog.objects.create(job=job, container="main", path=path, size=1)


def test_an_ended_job_is_deleted_with_its_history_after_ninety_days(vega: Site, node: VirtualNode) -> None:
    ended, alive = make_job(node=node, state=State.FAILED), make_job(node=node, state=State.RUNNING)
    sweep(days=89)
    assert Job.objects.filter(pk=ended.pk).exists()
    sweep(days=91)
    assert list(Job.objects.all()) == [alive]


def test_a_log_is_deleted_after_thirty_days_file_and_row(vega: Site, node: VirtualNode) -> None:
    log = archived(make_job(node=node, state=State.SUCCEEDED))
    sweep(days=29)
    assert storages["logs"].exists(log.path)
    sweep(days=31)
    assert not storages["logs"].exists(log.path)
    assert not ArchivedLog.objects.exists()


def test_no_file_outlives_the_row_that_names_it(vega: Site, node: VirtualNode, settings: Settings) -> None:
    settings.KEEP_LOGS = settings.KEEP_JOBS * 2
    log = archived(make_job(node=node, state=State.SUCCEEDED))
    sweep(days=91)
    assert not storages["logs"].exists(log.path)
    assert not Job.objects.exists()


def test_a_job_whose_folder_is_still_at_a_silent_site_is_kept(vega: Site, node: VirtualNode) -> None:
    make_job(node=node, state=State.FAILED, next_clean_at=timezone.now())
    sweep(days=1000)
    assert Job.objects.count() == 1


def test_tombstones_are_deleted_after_a_week(vega: Site, node: VirtualNode) -> None:
    Tombstone.objects.create(node=node, pod_uid=uuid.uuid4())
    sweep(days=6)
    assert Tombstone.objects.exists()
    sweep(days=8)
    assert not Tombstone.objects.exists()


def test_usage_is_kept_for_years_after_its_job(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    job = make_job(node=node)
    submit_now(vega)
    job.refresh_from_db()
    memory.finish(job.attempt_key)
    poll_now(vega)
    clean_now(vega)
    sweep(days=100)
    assert not Job.objects.exists()
    assert UsageRecord.objects.get().pod == "research/hello"
    sweep(days=5 * 366)
    assert not UsageRecord.objects.exists()


def test_an_ended_jobs_folder_is_cleaned_a_day_after_its_logs_are_archived(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    job = make_job(node=node)
    submit_now(vega)
    job.refresh_from_db()
    memory.finish(job.attempt_key)
    poll_now(vega)
    clean_now(vega)
    job.refresh_from_db()
    assert (job.next_archive_at, job.next_clean_at) == (None, None)
    assert memory.keys() == []


@pytest.mark.django_db
def test_a_browsers_session_is_deleted_after_its_end() -> None:
    now = timezone.now()
    for name, end in [("over", now - timedelta(seconds=1)), ("good", now + timedelta(hours=8))]:
        Session.objects.create(session_key=name, session_data="", expire_date=end)
    assert retention.forget_the_old(now=now)["sessions"] == 1
    assert Session.objects.get().session_key == "good"
