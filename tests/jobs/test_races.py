"""Two connections at once: each test says which one wins."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import psycopg
import pytest
from django.db import InterfaceError, OperationalError, connection, connections, transaction
from django.utils import timezone

from jobs import cancellation, tasks
from jobs.models import Job
from jobs.states import State
from jobs.worker import site_lock
from jobs.worker.claim import claim
from tests.factories import make_job
from tests.jobs.clock import poll_now, recover_now, submit_now
from tests.threads import at_once, elsewhere

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from controlplane.tenants.models import VirtualNode
    from sites.connectors.memory.site import MemorySite
    from sites.models import Site

pytestmark = pytest.mark.django_db(transaction=True)


def test_two_simultaneous_claims_share_the_pods(vega: Site, node: VirtualNode) -> None:
    jobs = {make_job(node=node).pk for _ in range(20)}
    claims = at_once(*[lambda: claim(vega, now=timezone.now())] * 4)
    taken = [job.pk for claimed in claims for job in claimed]
    taken += [job.pk for job in claim(vega, now=timezone.now())]
    assert sorted(taken) == sorted(jobs)


def test_a_pod_that_another_worker_is_claiming_is_skipped(vega: Site, node: VirtualNode) -> None:
    first, second = make_job(node=node), make_job(node=node)
    with transaction.atomic():
        Job.objects.select_for_update().get(pk=first.pk)
        assert elsewhere(lambda: [job.pk for job in claim(vega, now=timezone.now())]) == [second.pk]


def test_a_delete_that_waits_for_a_claim_becomes_a_cancellation_request(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    job = make_job(node=node)
    outcome: list[list[Job]] = []

    def delete() -> None:
        try:
            outcome.append(cancellation.cancel([job.pk], reason="Deleted", now=timezone.now()))
        finally:
            connections.close_all()

    waiting = threading.Thread(target=delete)
    with transaction.atomic():
        claim(vega, now=timezone.now())
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive()  # it waits for the claim to commit
    waiting.join(10)
    job.refresh_from_db()
    assert (job.state, job.cancel_reason) == (State.SUBMITTING, "Deleted")
    assert [each.pk for each in outcome[0]] == [job.pk]


def test_a_claim_skips_a_pod_that_is_being_deleted(vega: Site, node: VirtualNode) -> None:
    job = make_job(node=node)
    with transaction.atomic():
        cancellation.cancel([job.pk], reason="Deleted", now=timezone.now())
        assert elsewhere(lambda: claim(vega, now=timezone.now())) == []
    job.refresh_from_db()
    assert job.state == State.CANCELLED


def test_two_simultaneous_polls_write_one_end(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    job = make_job(node=node)
    submit_now(vega)
    job.refresh_from_db()
    memory.finish(job.attempt_key)
    elsewhere(lambda: poll_now(vega))
    poll_now(vega)
    assert list(job.history.filter(new="succeeded").values_list("old", flat=True)) == ["pending"]


def test_a_lane_is_held_by_one_thread_at_a_time(vega: Site) -> None:
    def try_lane(name: site_lock.Lane) -> bool:
        with site_lock.lane(name, vega.pk) as mine:
            return mine

    with site_lock.lane("in", vega.pk) as mine:
        assert mine
        assert not elsewhere(lambda: try_lane("in"))
        assert elsewhere(lambda: try_lane("watch"))
    assert elsewhere(lambda: try_lane("in"))


def test_a_lane_is_released_when_its_work_fails(vega: Site) -> None:
    with pytest.raises(RuntimeError), site_lock.lane("in", vega.pk):
        raise RuntimeError
    with site_lock.lane("in", vega.pk) as mine:
        assert mine


def test_another_process_cannot_enter_a_lane(vega: Site) -> None:
    other = site_lock.Session()
    with site_lock.lane("in", vega.pk):
        assert not other.take("in", vega.pk)
    assert other.take("in", vega.pk)
    other.give_back("in", vega.pk)


def test_a_lane_whose_session_died_can_be_entered_again(vega: Site) -> None:
    with site_lock.lane("in", vega.pk) as mine:
        assert mine
        with connections["default"].cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks JOIN pg_database ON pg_database.oid = database"
                " WHERE datname = current_database() AND locktype = 'advisory' AND objid = %s",
                [vega.pk],
            )
        with site_lock.lane("watch", vega.pk) as also:
            assert also
    with site_lock.lane("in", vega.pk) as mine:
        assert mine


def test_a_worker_whose_lane_is_taken_does_nothing(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    make_job(node=node)
    with site_lock.lane("in", vega.pk):
        elsewhere(lambda: tasks.submit(vega.pk))
    assert list(memory.calls) == []


def test_a_restart_of_postgresql_during_a_site_call_loses_and_doubles_no_job(
    vega: Site, memory: MemorySite, node: VirtualNode, database_urls: dict[str, str]
) -> None:
    jobs = [make_job(node=node) for _ in range(3)]
    clock = memory.clock
    dropped: list[bool] = []

    def drop_every_connection_once() -> datetime:
        if not dropped:
            with psycopg.connect(database_urls["owner"], autocommit=True) as other:
                other.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
            dropped.append(True)
        return clock()

    memory.clock = drop_every_connection_once
    for task in (submit_now, recover_now, submit_now):
        _despite_dead_connections(task, vega)
    assert dropped
    assert {Job.objects.get(pk=job.pk).state for job in jobs} == {State.PENDING}
    assert sorted(memory.submissions.values()) == [1, 1, 1]


def _despite_dead_connections(task: Callable[[Site], None], site: Site) -> None:
    """Retry until the pool has replaced its dead connections: each fails once. In production the tick comes again."""
    for _ in range(20):
        try:
            return task(site)
        except (OperationalError, InterfaceError):
            connections.close_all()
    raise AssertionError("the database does not answer again")


def test_a_worker_that_waits_for_a_site_holds_no_database_connection(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    make_job(node=node)
    clock = memory.clock
    held: list[bool] = []

    def look() -> datetime:
        held.append(connection.connection is not None)
        return clock()

    memory.clock = look
    submit_now(vega)
    poll_now(vega)
    assert held
    assert not any(held)
