"""A cancellation request is durable: it is carried out however long the site is silent."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from jobs import cancellation, tasks
from jobs.states import State
from tests.factories import make_job
from tests.jobs.clock import cancel_now, poll_now, probe_now, submit_now

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode
    from jobs.models import Job
    from sites.connectors.memory.site import MemorySite
    from sites.models import Site


@pytest.fixture
def job(vega: Site, memory: MemorySite, node: VirtualNode) -> Job:
    """A pod that runs at Vega."""
    job = make_job(node=node)
    submit_now(vega)
    job.refresh_from_db()
    memory.start(job.attempt_key)
    poll_now(vega)
    job.refresh_from_db()
    return job


def wish(job: Job) -> list[Job]:
    return cancellation.cancel([job.pk], reason="Deleted", message="Its pod was deleted.", now=timezone.now())


@pytest.mark.parametrize("state", [State.HELD, State.QUEUED])
def test_a_job_without_a_site_is_cancelled_at_once(vega: Site, node: VirtualNode, state: State) -> None:
    job = make_job(node=node, state=state)
    wish(job)
    job.refresh_from_db()
    assert (job.state, job.reason, job.request) == (State.CANCELLED, "Deleted", None)


def test_a_running_job_is_cancelled_at_its_site_and_then_here(vega: Site, memory: MemorySite, job: Job) -> None:
    wish(job)
    tasks.cancel(vega.pk)
    assert memory.job(job.attempt_key).phase == "cancelled"
    job.refresh_from_db()
    assert job.state == State.RUNNING
    poll_now(vega)
    job.refresh_from_db()
    assert job.state == State.CANCELLED
    assert job.next_cancel_at is None


def test_the_request_survives_a_silent_site(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.go_silent()
    wish(job)
    for _ in range(3):
        cancel_now(vega)
        probe_now(vega)
    memory.answer_again()
    probe_now(vega)
    cancel_now(vega)
    poll_now(vega)
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_a_request_is_repeated_until_the_site_confirms_the_end(vega: Site, memory: MemorySite, job: Job) -> None:
    memory.lose_answer("cancel")
    wish(job)
    tasks.cancel(vega.pk)
    probe_now(vega)
    memory.calls.clear()
    tasks.cancel(vega.pk)
    assert ("cancel", 1) in memory.calls
    memory.calls.clear()
    tasks.cancel(vega.pk)
    assert list(memory.calls) == []  # the site has accepted it: the next try comes later
    cancel_now(vega)
    assert list(memory.calls) == [("cancel", 1)]


def test_cancellation_requests_are_sent_in_one_call(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    jobs = [make_job(node=node) for _ in range(5)]
    submit_now(vega)
    cancellation.cancel([job.pk for job in jobs], reason="Deleted", now=timezone.now())
    memory.calls.clear()
    tasks.cancel(vega.pk)
    assert list(memory.calls) == [("cancel", 5)]


def test_a_second_request_changes_nothing(vega: Site, job: Job) -> None:
    assert [each.pk for each in wish(job)] == [job.pk]
    assert wish(job) == []


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_an_ended_job_keeps_its_end(vega: Site, node: VirtualNode, state: State) -> None:
    job = make_job(node=node, state=state)
    assert wish(job) == []
    job.refresh_from_db()
    assert (job.state, job.cancel_requested_at) == (state, None)


def test_a_job_that_finished_before_the_cancellation_arrived_has_succeeded(
    vega: Site, memory: MemorySite, job: Job
) -> None:
    memory.finish(job.attempt_key)
    wish(job)
    tasks.cancel(vega.pk)
    poll_now(vega)
    job.refresh_from_db()
    assert job.state == State.SUCCEEDED
