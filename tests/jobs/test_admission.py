"""Admission and deletion at the same moment, in two connections."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from django.db import transaction
from django.utils import timezone

from controlplane.auth.callers import NodeCaller
from controlplane.secrets import Unsealable
from jobs import admission, cancellation, lifecycle, payload
from jobs.models import Job, Tombstone, Transition
from jobs.states import State
from sites import manifest
from tests.factories import make_node, make_pod, make_request
from tests.threads import at_once, closing_connections

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode
    from jobs.models import Changes

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def node() -> VirtualNode:
    return make_node()[0]


@pytest.fixture
def caller(node: VirtualNode) -> NodeCaller:
    return NodeCaller(node.pk, node.tenant_id, node.slug, token_id=1)


def test_ten_simultaneous_creates_of_one_pod_make_one_job(caller: NodeCaller) -> None:
    request = make_request()
    keys = at_once(*[lambda: admit(caller, request).key] * 10)
    assert len(set(keys)) == 1
    assert Job.objects.count() == 1
    assert Transition.objects.count() == 1


@pytest.mark.parametrize("attempt", range(5))
def test_a_simultaneous_create_and_delete_never_leave_an_undeleted_job(caller: NodeCaller, attempt: int) -> None:
    request = make_request()
    uid = uuid.UUID(request["pod"]["metadata"]["uid"])
    at_once(lambda: admit(caller, request), lambda: cancellation.delete_pod(caller, uid, now=timezone.now()))
    job = Job.objects.get()
    assert job.state == State.CANCELLED
    assert job.deleted_at is not None


def test_a_create_waits_for_an_uncommitted_delete(caller: NodeCaller) -> None:
    request = make_request()
    uid = uuid.UUID(request["pod"]["metadata"]["uid"])
    with ThreadPoolExecutor() as other:
        with transaction.atomic():
            cancellation.delete_pod(caller, uid, now=timezone.now())
            created = other.submit(closing_connections(lambda: admit(caller, request)))
            time.sleep(0.3)
            assert not created.done()
        assert created.result().deleted_at is None  # the object as it was inserted; the row has changed since
    assert Tombstone.objects.count() == 1
    assert Job.objects.get().state == State.CANCELLED


def test_a_delete_during_a_claim_is_kept_as_a_cancellation_request(caller: NodeCaller) -> None:
    """A worker has claimed the job between the kubelet's create and its delete, and has not committed yet."""
    job = admit(caller, make_request())
    lifecycle.move([lifecycle.Move(job.pk, 0, State.QUEUED, {"next_submit_at": timezone.now()})], now=timezone.now())
    with ThreadPoolExecutor() as other:
        with transaction.atomic():
            lifecycle.move([claim(job)], now=timezone.now())
            delete = closing_connections(lambda: cancellation.delete_pod(caller, job.pod_uid, now=timezone.now()))
            deleted = other.submit(delete)
            time.sleep(0.3)
            assert not deleted.done()
        deleted.result()
    job.refresh_from_db()
    assert job.state == State.SUBMITTING
    assert job.cancel_requested_at is not None
    assert job.next_cancel_at is not None


def test_a_new_job_is_as_old_as_its_nodes_clock(node: VirtualNode, caller: NodeCaller) -> None:
    """An orphan's age counts from the create: a node heard for a week must not make its newest pod an orphan."""
    node.heard_minutes = 10_000
    node.save()
    assert admit(caller, make_request()).polled_minute == 10_000


def test_four_parts_of_a_pod_are_kept_and_sealed_for_their_own_row(caller: NodeCaller) -> None:
    request = make_request(make_pod(labels={"padding": "x" * 10_000}), extra="not kept")
    job = admit(caller, request)
    stored = Job.objects.get()
    assert payload.read_request(stored) == {part: request[part] for part in payload.PARTS}
    assert len(bytes(stored.request or b"")) < 3000
    stored.key = "0" * 40
    with pytest.raises(Unsealable):
        payload.read_request(stored)
    lifecycle.move([lifecycle.Move(job.pk, 0, State.CANCELLED)], now=timezone.now())
    with pytest.raises(payload.Erased):
        payload.read_request(Job.objects.get())


def test_init_containers_come_first_and_each_list_keeps_its_order(caller: NodeCaller) -> None:
    pod = make_pod()
    pod["spec"]["containers"] = [{"name": "z", "image": "1"}, {"name": "a", "image": "2"}]
    pod["spec"]["initContainers"] = [{"name": "m", "image": "3"}]
    assert admit(caller, make_request(pod)).containers == [
        {"name": "m", "image": "3", "init": True},
        {"name": "z", "image": "1", "init": False},
        {"name": "a", "image": "2", "init": False},
    ]


def admit(caller: NodeCaller, request: dict[str, Any]) -> Job:
    return admission.admit(caller, manifest.parse(request), request, now=timezone.now())


def claim(job: Job) -> lifecycle.Move:
    now = timezone.now()
    changes: Changes = {
        "attempt": 1,
        "attempt_key": "a" * 40,
        "folder": "f",
        "next_find_at": now,
        "next_submit_at": None,
    }
    return lifecycle.Move(job.pk, 0, State.SUBMITTING, changes)
