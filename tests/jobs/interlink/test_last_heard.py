"""What is remembered of polls and pings, and how it is written down: the basis for finding orphans."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from controlplane.auth.callers import NodeCaller
from controlplane.tenants.models import ApiToken, VirtualNode
from jobs.interlink.last_heard import Heard, heard
from jobs.models import Job
from jobs.states import State
from tests.factories import make_job, make_node, make_pod
from tests.wire import call

pytestmark = pytest.mark.django_db


@pytest.fixture
def node() -> VirtualNode:
    return make_node()[0]


@pytest.fixture
def memory() -> Heard:
    """A memory that writes to the database only when the test tells it to."""
    memory = Heard()
    memory._thread = connection  # type: ignore[assignment]  # anything but None keeps the thread from starting
    return memory


def caller(node: VirtualNode) -> NodeCaller:
    return NodeCaller(node.pk, node.tenant_id, node.slug, node.tokens.get().pk)


def test_a_minute_counts_once_however_often_a_node_calls(node: VirtualNode, memory: Heard) -> None:
    for _ in range(3):
        memory.note(caller(node))
        memory.flush()
    node.refresh_from_db()
    assert node.heard_minutes == 1
    assert node.heard_at is not None


def test_the_next_minute_counts_again(node: VirtualNode, memory: Heard) -> None:
    VirtualNode.objects.update(heard_at=timezone.now() - timedelta(minutes=1), heard_minutes=7)
    memory.note(caller(node))
    memory.flush()
    node.refresh_from_db()
    assert node.heard_minutes == 8


def test_polled_jobs_get_the_nodes_current_minute(node: VirtualNode, memory: Heard) -> None:
    polled, unpolled = make_job(node=node), make_job(node=node)
    elsewhere = make_job()
    VirtualNode.objects.update(heard_minutes=41)
    memory.note(caller(node), [polled.pod_uid, elsewhere.pod_uid])
    memory.flush()
    minutes = dict(Job.objects.values_list("pk", "polled_minute"))
    assert minutes == {polled.pk: 42, unpolled.pk: 0, elsewhere.pk: 0}


def test_ended_jobs_are_left_alone(node: VirtualNode, memory: Heard) -> None:
    job = make_job(node=node, state=State.SUCCEEDED)
    memory.note(caller(node), [job.pod_uid])
    memory.flush()
    job.refresh_from_db()
    assert job.polled_minute == 0


def test_a_tokens_last_use_is_written_at_most_once_a_minute(node: VirtualNode, memory: Heard) -> None:
    memory.note(caller(node))
    memory.flush()
    first = ApiToken.objects.get().last_used_at
    memory.note(caller(node))
    memory.flush()
    assert first is not None
    assert ApiToken.objects.get().last_used_at == first


@pytest.mark.parametrize("jobs", [1, 30])
def test_a_flush_takes_three_statements_whatever_was_heard(
    node: VirtualNode, memory: Heard, jobs: int, django_assert_num_queries: Any
) -> None:
    memory.note(caller(node), [make_job(node=node).pod_uid for _ in range(jobs)])
    with CaptureQueriesContext(connection) as captured:
        memory.flush()
    assert len([query for query in captured.captured_queries if "UPDATE" in query["sql"]]) == 3
    with django_assert_num_queries(0):
        memory.flush()


@pytest.mark.django_db(transaction=True)
def test_what_cannot_be_written_is_kept_for_the_next_flush(node: VirtualNode, memory: Heard) -> None:
    job = make_job(node=node)
    memory.note(caller(node), [job.pod_uid])
    with connection.cursor() as cursor:
        cursor.execute("ALTER TABLE tenants_virtualnode RENAME TO elsewhere")
        try:
            with pytest.raises(DatabaseError):
                memory.flush()
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO tenants_virtualnode")
    memory.flush()
    job.refresh_from_db()
    assert job.polled_minute == 1


@pytest.mark.django_db(transaction=True)
def test_only_known_pods_are_remembered() -> None:
    node, token = make_node()
    job = make_job(node=node)
    pods = [make_pod(), make_pod(uid=str(job.pod_uid))]
    call("GET", "/status", pods, token=token)
    assert heard._pods == {(node.pk, job.pod_uid)}


@pytest.mark.parametrize(("method", "endpoint"), [("POST", "pinglink"), ("POST", "updateCache"), ("DELETE", "delete")])
def test_every_request_of_a_node_counts_as_heard(method: str, endpoint: str) -> None:
    node, token = make_node()
    call(method, f"/{endpoint}", make_pod(), token=token)
    assert heard._nodes == {node.pk}
