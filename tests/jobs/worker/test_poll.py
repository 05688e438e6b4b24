"""Polling: what changed is written, what did not is not, and silence changes nothing."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import tasks
from jobs.models import Job, Transition, UsageRecord
from jobs.states import State
from jobs.worker import poll
from sites.models import Site
from sites.reasons import Reason
from sites.workload import Phase, Report
from tests.factories import make_job, make_node, make_pod, make_request
from tests.jobs.clock import cancel_now, has_been_missing_for, poll_now, submit_now

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode
    from sites.connectors.memory.site import MemorySite


@pytest.fixture
def job(vega: Site, memory: MemorySite, node: VirtualNode) -> Job:
    """A pod in Vega's queue."""
    job = make_job(node=node)
    submit_now(vega)
    job.refresh_from_db()
    return job


def test_a_polled_job_starts_and_ends(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.start(job.attempt_key)
    poll_now(vega)
    job.refresh_from_db()
    assert job.state == State.RUNNING
    assert "started" in job.observed["main"]
    memory.finish(job.attempt_key)
    poll_now(vega)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
    assert job.observed["main"]["code"] == 0
    assert list(job.history.values_list("new", flat=True)) == [
        "queued", "submitting", "pending", "running", "succeeded",
    ]  # fmt: skip


def test_a_job_that_ran_between_two_polls_is_charged_the_sites_time(vega: Site, memory: MemorySite, job: Job) -> None:
    began = timezone.now().replace(microsecond=0)
    memory.clock = lambda: began
    memory.start(job.attempt_key)
    memory.clock = lambda: began + timedelta(seconds=90)
    memory.finish(job.attempt_key, exit_code=3)
    poll_now(vega)
    usage = UsageRecord.objects.get(job=job)
    assert (usage.cpu_seconds, usage.started_at, usage.outcome, usage.estimated) == (90, began, "failed", False)
    job.refresh_from_db()
    assert (job.state, job.exit_code, job.message) == (
        State.FAILED,
        3,
        "The container main ended with exit code 3.",
    )


def test_the_sites_reason_for_waiting_is_shown_to_the_owner(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.explain_waiting(job.attempt_key, "Priority", "Others are before it.")
    poll_now(vega)
    job.refresh_from_db()
    assert (job.reason, job.message) == ("Priority", "Others are before it.")
    assert "Others are before it." in job.status_exact


def test_a_sites_long_texts_are_cut_to_their_columns(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.explain_waiting(job.attempt_key, "R" * 500, "m" * 50_000 + "\0")
    poll_now(vega)
    job.refresh_from_db()
    assert (len(job.reason), len(job.message)) == (100, 2000)


def test_a_poll_without_changes_writes_no_job(vega: Site, memory: MemorySite, job: Job) -> None:
    poll_now(vega)
    lines = Transition.objects.count()
    with CaptureQueriesContext(connection) as queries:
        poll_now(vega)
    assert not [query for query in queries if 'UPDATE "jobs_job"' in query["sql"] or "UPDATE jobs_job" in query["sql"]]
    assert Transition.objects.count() == lines


def test_a_poll_of_many_jobs_takes_no_more_statements_than_one_of_a_few(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    def statements_of_a_poll_with(jobs: int) -> int:
        for _ in range(jobs - Job.objects.count()):
            make_job(node=node)
        submit_now(vega)
        poll_now(vega)
        with CaptureQueriesContext(connection) as queries:
            poll_now(vega)
        return len(queries)

    few = statements_of_a_poll_with(10)
    assert statements_of_a_poll_with(1000) == few


def test_a_poll_is_one_call_to_the_site(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    for _ in range(250):
        make_job(node=node)
    submit_now(vega)
    memory.calls.clear()
    poll_now(vega)
    assert list(memory.calls) == [("poll", 250)]


def test_a_silent_site_keeps_its_jobs(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.start(job.attempt_key)
    poll_now(vega)
    memory.go_silent()
    poll_now(vega)
    job.refresh_from_db()
    assert (job.state, job.missing_since) == (State.RUNNING, None)


def test_recorded_events_are_confirmed_with_the_next_poll(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.start(job.attempt_key)
    poll_now(vega)
    assert memory.job(job.attempt_key).unrecorded
    poll_now(vega)
    assert memory.job(job.attempt_key).unrecorded == {}


def test_events_of_an_unanswered_poll_are_confirmed_later(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.start(job.attempt_key)
    poll_now(vega)
    memory.go_silent("poll")
    poll_now(vega)
    memory.answer_again()
    tasks.probe(vega.pk)
    Site.objects.update(silent_since=None, next_probe_at=None)
    poll_now(vega)
    assert memory.job(job.attempt_key).unrecorded == {}


def test_the_next_poll_waits_for_its_interval(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.latency = 0.3
    Site.objects.filter(pk=vega.pk).update(poll_interval=1, next_poll_at=timezone.now())
    before = timezone.now()
    tasks.poll(vega.pk)
    vega.refresh_from_db()
    assert vega.next_poll_at - before > timedelta(seconds=20 * 0.3)
    memory.calls.clear()
    tasks.poll(vega.pk)
    assert list(memory.calls) == []


def test_a_late_poll_does_not_delay_the_next(vega: Site, memory: MemorySite, job: Job) -> None:
    due = timezone.now() - timedelta(seconds=0.5)
    Site.objects.filter(pk=vega.pk).update(poll_interval=5, next_poll_at=due)
    tasks.poll(vega.pk)
    vega.refresh_from_db()
    assert vega.next_poll_at == due + timedelta(seconds=5)


def test_a_poll_long_overdue_is_not_repeated_to_catch_up(vega: Site, memory: MemorySite, job: Job) -> None:
    now = timezone.now()
    Site.objects.filter(pk=vega.pk).update(poll_interval=5, next_poll_at=now - timedelta(hours=1))
    tasks.poll(vega.pk)
    vega.refresh_from_db()
    assert vega.next_poll_at >= now + timedelta(seconds=4)


def test_a_job_that_the_site_does_not_know_is_not_finished(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.forget(job.attempt_key)
    poll_now(vega)
    job.refresh_from_db()
    assert job.state == State.PENDING
    assert job.missing_since is not None
    memory.remember(job.attempt_key)
    poll_now(vega)
    job.refresh_from_db()
    assert job.missing_since is None


def test_a_job_unknown_for_an_hour_is_lost(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.forget(job.attempt_key)
    poll_now(vega)
    has_been_missing_for(job, timedelta(minutes=59))
    poll_now(vega)
    job.refresh_from_db()
    assert job.state == State.PENDING
    has_been_missing_for(job, timedelta(minutes=61))
    poll_now(vega)
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.FAILED, Reason.LOST)
    assert job.lost_at is not None


def test_the_word_lost_from_a_site_does_not_make_a_job_lost(vega: Site, memory: MemorySite, job: Job) -> None:
    rows = poll.watched(vega, now=timezone.now())
    report = Report(key=job.attempt_key, native_id="1", phase=Phase.FAILED, reason=Reason.LOST)
    poll.record_reports(rows, {report.key: report}, now=timezone.now())
    job.refresh_from_db()
    assert (job.state, job.reason, job.lost_at) == (State.FAILED, "Lost", None)
    assert poll.watched(vega, now=timezone.now()) == []


def test_an_hour_without_polls_loses_no_job(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.forget(job.attempt_key)
    poll_now(vega)
    has_been_missing_for(job, timedelta(hours=3))
    Site.objects.update(next_poll_at=timezone.now() - timedelta(hours=2))
    tasks.poll(vega.pk)
    job.refresh_from_db()
    assert job.state == State.PENDING
    assert job.missing_since is not None
    assert timezone.now() - job.missing_since < timedelta(minutes=1)


def test_a_lost_job_that_reappears_is_cancelled_and_charged(vega: Site, memory: MemorySite, job: Job) -> None:
    began = timezone.now().replace(microsecond=0)
    memory.clock = lambda: began
    memory.start(job.attempt_key)
    poll_now(vega)
    memory.forget(job.attempt_key)
    poll_now(vega)
    has_been_missing_for(job, timedelta(minutes=61))
    poll_now(vega)
    memory.remember(job.attempt_key)
    poll_now(vega)
    memory.clock = lambda: began + timedelta(hours=2)
    cancel_now(vega)
    assert memory.job(job.attempt_key).phase is Phase.CANCELLED
    poll_now(vega)
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.FAILED, Reason.LOST_REAPPEARED)
    assert job.lost_at is None
    usage = UsageRecord.objects.get(job=job)
    assert (usage.cpu_seconds, usage.estimated) == (7200, False)
    memory.calls.clear()
    poll_now(vega)
    assert list(memory.calls) == [("poll", 0)]


def test_a_requeued_job_waits_again_and_forgets_its_containers(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.start(job.attempt_key)
    poll_now(vega)
    memory.requeue(job.attempt_key)
    poll_now(vega)
    job.refresh_from_db()
    assert (job.state, job.reason, job.observed, job.started_at) == (State.PENDING, "Requeued", {}, None)
    memory.finish(job.attempt_key)
    poll_now(vega)
    job.refresh_from_db()
    assert (job.state, job.observed["main"]["restart"]) == (State.SUCCEEDED, 1)


def test_one_invalid_report_does_not_affect_the_others(
    vega: Site, memory: MemorySite, node: VirtualNode, job: Job
) -> None:
    other = make_job(node=node)
    submit_now(vega)
    rows = poll.watched(vega, now=timezone.now())
    nonsense = Report(key=job.attempt_key, native_id="1", phase=Phase.FAILED, exit_code=10**12)
    fine = Report(key=Job.objects.get(pk=other.pk).attempt_key, native_id="2", phase=Phase.SUCCEEDED)
    poll.record_reports(rows, {nonsense.key: nonsense, fine.key: fine}, now=timezone.now())
    job.refresh_from_db()
    other.refresh_from_db()
    assert (job.state, other.state) == (State.PENDING, State.SUCCEEDED)


def test_ended_jobs_are_not_polled(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.finish(job.attempt_key)
    poll_now(vega)
    assert poll.watched(vega, now=timezone.now()) == []


def test_another_sites_jobs_are_not_polled(vega: Site, memory: MemorySite, job: Job) -> None:
    elsewhere = make_node()[0]
    make_job(node=elsewhere, state=State.RUNNING)
    assert [row.pk for row in poll.watched(vega, now=timezone.now())] == [job.pk]


def test_init_containers_and_containers_are_distinguished(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    pod = make_pod()
    pod["spec"]["initContainers"] = [{"name": "setup", "image": "busybox:1.36", "command": ["true"]}]
    job = make_job(node=node, request=make_request(pod))
    submit_now(vega)
    job.refresh_from_db()
    memory.finish(job.attempt_key)
    poll_now(vega)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
    assert set(job.observed) == {"setup", "main"}
    assert job.observed["setup"]["code"] == 0
