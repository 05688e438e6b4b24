"""Exactly once: stop between any two steps, recover, and count the batch jobs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from jobs import cancellation, tasks
from jobs.models import AbandonedAttempt, Job
from jobs.states import State
from jobs.worker.claim import claim, pack
from sites.connections import connector_for
from tests.factories import make_job
from tests.jobs.clock import probe_now, recover_now, submit_now

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode
    from sites.connectors.memory.site import MemorySite
    from sites.models import Site


@pytest.fixture
def job(vega: Site, memory: MemorySite, node: VirtualNode) -> Job:
    return make_job(node=node)


def batch_jobs(memory: MemorySite) -> int:
    return sum(memory.submissions.values())


def test_a_worker_that_dies_after_the_claim_leaves_one_batch_job(vega: Site, memory: MemorySite, job: Job) -> None:
    claim(vega, now=timezone.now())
    recover_now(vega)
    job.refresh_from_db()
    assert (job.state, job.tries) == (State.QUEUED, 1)
    submit_now(vega)
    job.refresh_from_db()
    assert (job.state, job.attempt, batch_jobs(memory)) == (State.PENDING, 2, 1)


def test_a_worker_that_dies_after_the_submission_leaves_one_batch_job(vega: Site, memory: MemorySite, job: Job) -> None:
    batch = pack(claim(vega, now=timezone.now()))
    connector_for(vega).submit(list(batch.workloads.values()))
    recover_now(vega)
    job.refresh_from_db()
    assert (job.state, job.attempt, batch_jobs(memory)) == (State.PENDING, 1, 1)
    assert job.native_id == memory.job(job.attempt_key).native_id


def test_a_lost_answer_leaves_one_batch_job(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.lose_answer("submit")
    submit_now(vega)
    probe_now(vega)
    recover_now(vega)
    job.refresh_from_db()
    assert (job.state, job.attempt, batch_jobs(memory)) == (State.PENDING, 1, 1)


def test_a_job_missing_from_the_sites_answer_is_found(
    vega: Site, memory: MemorySite, node: VirtualNode, job: Job
) -> None:
    second = make_job(node=node)
    memory.answer_only(1)
    submit_now(vega)
    second.refresh_from_db()
    assert (second.state, second.reason) == (State.SUBMITTING, "InDoubt")
    recover_now(vega)
    second.refresh_from_db()
    assert (second.state, batch_jobs(memory)) == (State.PENDING, 2)


def test_a_submission_that_arrives_after_its_recovery_starts_nothing(vega: Site, memory: MemorySite, job: Job) -> None:
    late = pack(claim(vega, now=timezone.now()))
    recover_now(vega)
    connector_for(vega).submit(list(late.workloads.values()))
    assert batch_jobs(memory) == 0
    submit_now(vega)
    assert batch_jobs(memory) == 1


def test_a_fenced_folder_is_kept_for_a_day_and_then_cleaned(vega: Site, memory: MemorySite, job: Job) -> None:
    [claimed] = claim(vega, now=timezone.now())
    recover_now(vega)
    abandoned = AbandonedAttempt.objects.get()
    assert (abandoned.key, abandoned.folder) == (claimed.attempt_key, claimed.folder)
    tasks.clean(vega.pk)
    assert AbandonedAttempt.objects.exists()
    AbandonedAttempt.objects.update(clean_at=timezone.now())
    memory.calls.clear()
    tasks.clean(vega.pk)
    assert list(memory.calls) == [("clean", 1)]
    assert not AbandonedAttempt.objects.exists()


def test_a_job_with_a_cancellation_request_that_never_arrived_is_cancelled(
    vega: Site, memory: MemorySite, job: Job
) -> None:
    claim(vega, now=timezone.now())
    cancellation.cancel([job.pk], reason="Deleted", now=timezone.now())
    recover_now(vega)
    job.refresh_from_db()
    assert (job.state, job.reason, batch_jobs(memory)) == (State.CANCELLED, "Deleted", 0)


def test_a_job_with_a_cancellation_request_that_did_arrive_is_cancelled_at_the_site(
    vega: Site, memory: MemorySite, job: Job
) -> None:
    memory.lose_answer("submit")
    submit_now(vega)
    cancellation.cancel([job.pk], reason="Deleted", now=timezone.now())
    probe_now(vega)
    recover_now(vega)
    tasks.cancel(vega.pk)
    job.refresh_from_db()
    assert memory.job(job.attempt_key).phase == "cancelled"


def test_nothing_is_settled_while_the_site_is_silent(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.go_silent()
    submit_now(vega)
    for _ in range(3):
        probe_now(vega)
        recover_now(vega)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (State.SUBMITTING, 1)


def test_each_failed_try_waits_longer_than_the_last(vega: Site, memory: MemorySite, job: Job) -> None:
    waits = []
    for _ in range(4):
        claim(vega, now=timezone.now())
        recover_now(vega)
        job.refresh_from_db()
        assert job.next_submit_at is not None
        waits.append(job.next_submit_at - timezone.now())
        Job.objects.update(next_submit_at=timezone.now())
    assert waits == sorted(waits)
    assert waits[-1] > timedelta(seconds=10)
