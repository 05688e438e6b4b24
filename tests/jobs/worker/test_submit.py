"""Submitting: which pod goes first, what is recorded when, and what each answer of a site means."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.utils import timezone

from jobs import payload, tasks
from jobs.models import Job
from jobs.states import State
from jobs.worker import submit
from jobs.worker.claim import claim
from jobs.worker.submit import settle
from sites.connectors.base import ABSENT, Rejected
from sites.models import Site
from tests.factories import make_job, make_node, make_pod, make_request

if TYPE_CHECKING:
    from pytest_django import Settings

    from controlplane.tenants.models import VirtualNode
    from sites.connectors.memory.site import MemorySite


def test_a_due_pod_reaches_its_site_and_gets_its_native_id(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    job = make_job(node=node)
    tasks.submit(vega.pk)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (State.PENDING, 1)
    assert memory.job(job.attempt_key).native_id == job.native_id
    assert job.folder == f"memory/{job.attempt_key}"
    assert job.submitted_at is not None


def test_a_batch_of_pods_is_one_call(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    for _ in range(5):
        make_job(node=node)
    tasks.submit(vega.pk)
    assert [call for call in memory.calls if call[0] == "submit"] == [("submit", 5)]
    assert Job.objects.filter(state=State.PENDING).count() == 5


def test_a_pod_that_is_not_due_is_left_alone(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    job = make_job(node=node, next_submit_at=timezone.now() + timedelta(seconds=60))
    tasks.submit(vega.pk)
    job.refresh_from_db()
    assert job.state == State.QUEUED
    assert memory.keys() == []


def test_tenants_take_turns_however_many_pods_one_has_queued(vega: Site, settings: Settings) -> None:
    settings.BATCH_JOBS = 4
    greedy, modest = make_node(site=vega)[0], make_node(site=vega)[0]
    flood = [make_job(node=greedy) for _ in range(6)]
    few = [make_job(node=modest) for _ in range(2)]
    taken = claim(vega, now=timezone.now())
    assert {job.pk for job in taken} == {flood[0].pk, flood[1].pk, few[0].pk, few[1].pk}


def test_a_batch_is_bounded_in_bytes(vega: Site, node: VirtualNode, settings: Settings) -> None:
    settings.BATCH_BYTES = 3000
    big = make_request(configmaps=[{"metadata": {"name": "data"}, "data": {"noise": "x" * 1500}}])
    jobs = [make_job(node=node, request={**big, "pod": make_pod()}) for _ in range(3)]
    assert [job.pk for job in claim(vega, now=timezone.now())] == [jobs[0].pk]


def test_a_pod_larger_than_any_batch_goes_alone(vega: Site, node: VirtualNode, settings: Settings) -> None:
    settings.BATCH_BYTES = 10
    job = make_job(node=node)
    assert [taken.pk for taken in claim(vega, now=timezone.now())] == [job.pk]


def test_a_pod_that_unpacks_to_more_than_the_batchs_rest_waits_for_the_next(
    vega: Site, memory: MemorySite, node: VirtualNode, settings: Settings
) -> None:
    settings.BATCH_BYTES = 150_000
    for _ in range(3):
        make_job(node=node, request=_with_file(b"a" * 100_000))
    tasks.submit(vega.pk)
    assert Job.objects.filter(state=State.PENDING).count() == 3
    assert [call for call in memory.calls if call[0] == "submit"] == [("submit", 2), ("submit", 1)]


def test_a_pod_that_was_often_unanswered_goes_alone(vega: Site, node: VirtualNode) -> None:
    first, suspect, last = make_job(node=node), make_job(node=node, tries=3), make_job(node=node)
    assert [job.pk for job in claim(vega, now=timezone.now())] == [first.pk]
    assert [job.pk for job in claim(vega, now=timezone.now())] == [suspect.pk]
    assert [job.pk for job in claim(vega, now=timezone.now())] == [last.pk]


def test_the_attempt_is_recorded_before_the_site_is_called(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    job = make_job(node=node)
    memory.go_silent("submit")
    tasks.submit(vega.pk)
    job.refresh_from_db()
    assert job.state == State.SUBMITTING
    assert len(job.attempt_key) == 40
    assert job.next_find_at is not None


def test_a_refused_pod_fails_with_the_sites_sentence(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    job = make_job(node=node)
    memory.refuse(Rejected("There is no partition gpu.", reason="InvalidPartition"))
    tasks.submit(vega.pk)
    job.refresh_from_db()
    assert (job.state, job.reason, job.message) == (State.FAILED, "InvalidPartition", "There is no partition gpu.")
    assert job.request is None


def test_an_unreadable_pod_fails_and_stops_no_other(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    bad = make_request()
    bad["pod"]["spec"]["hostPID"] = True
    refused, fine = make_job(node=node, request=bad), make_job(node=node)
    tasks.submit(vega.pk)
    refused.refresh_from_db()
    fine.refresh_from_db()
    assert (refused.state, fine.state) == (State.FAILED, State.PENDING)
    assert "hostPID" in refused.message


def test_a_request_sealed_for_another_row_fails_with_a_sentence(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    job = make_job(node=node)
    Job.objects.filter(pk=job.pk).update(
        request=payload.seal_request(make_request(), tenant_id=node.tenant_id, key="other")
    )
    tasks.submit(vega.pk)
    job.refresh_from_db()
    assert job.state == State.FAILED
    assert "sealed for another row" in job.message


def test_a_drained_site_gets_no_new_pods_and_settles_those_in_doubt(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    waiting = make_job(node=node)
    in_doubt = make_job(node=node, state=State.SUBMITTING, next_find_at=timezone.now())
    Site.objects.filter(pk=vega.pk).update(enabled=False)
    tasks.submit(vega.pk)
    waiting.refresh_from_db()
    in_doubt.refresh_from_db()
    assert waiting.state == State.QUEUED
    assert in_doubt.state == State.QUEUED
    assert memory.keys() == []


def test_a_late_answer_about_an_old_attempt_changes_nothing(vega: Site, node: VirtualNode) -> None:
    job = make_job(node=node)
    [first] = claim(vega, now=timezone.now())
    settle(vega, {job.pk: 1}, {first.attempt_key: ABSENT}, now=timezone.now())
    Job.objects.filter(pk=job.pk).update(next_submit_at=timezone.now())
    [second] = claim(vega, now=timezone.now())
    submit.record_submissions([first], {first.attempt_key: "77"}, now=timezone.now())
    job.refresh_from_db()
    assert (job.state, job.attempt_key, job.native_id) == (State.SUBMITTING, second.attempt_key, "")


def _with_file(content: bytes) -> dict[str, Any]:
    """Return a request whose pod mounts a ConfigMap with this content."""
    pod = make_pod()
    pod["spec"]["volumes"] = [{"name": "data", "configMap": {"name": "data"}}]
    pod["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    return make_request(pod, configmaps=[{"metadata": {"name": "data"}, "data": {"file": content.decode()}}])
