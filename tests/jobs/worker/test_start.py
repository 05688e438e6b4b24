"""Held jobs start within their tenant's allocation, in fair turns, and show why they do not start."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Unpack

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from jobs import cancellation, lifecycle
from jobs.accounting.recount import reconcile
from jobs.lifecycle import Move
from jobs.models import Job, UsageRecord
from jobs.states import State
from jobs.sweeps.held import hold_drained
from jobs.worker import due
from jobs.worker.start import start_due
from sites import allocations
from sites.models import Allocation, Partition, Site
from tests.factories import make_allocation, make_job, make_node
from tests.jobs.clock import start_now, submit_now

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode
    from jobs.models import Changes
    from sites.connectors.memory.site import MemorySite

Settings = Any
HOUR = 3600
GIB = 2**30


def limited(node: VirtualNode, site: Site, **limits: Any) -> Allocation:
    return make_allocation(node.tenant, site, **limits)


def held(node: VirtualNode, site: Site, *, number: int = 1, **fields: Any) -> list[Job]:
    now = timezone.now()
    fields = {"next_start_at": now, **fields}
    return [make_job(node=node, site=site, state=State.HELD, **fields) for _ in range(number)]


def end(job: Job, **changes: Unpack[Changes]) -> None:
    job.refresh_from_db()
    lifecycle.move([Move(job.pk, job.attempt, State.CANCELLED, changes)], now=timezone.now())


def states(jobs: list[Job]) -> list[str]:
    found = dict(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("pk", "state"))
    return [found[job.pk] for job in jobs]


def exact(allocation: Allocation) -> Allocation:
    """Return the row as it is now, after checking its counters against a recount."""
    assert reconcile(repair=False, now=timezone.now()) == []
    allocation.refresh_from_db()
    return allocation


def test_pods_that_fit_are_queued_and_counted(vega: Site, node: VirtualNode) -> None:
    allocation = limited(node, vega, local_account="alpha", priority=7, cpu_hours=100)
    [job] = held(node, vega, cpus=4, memory=GIB, gpus=2, gpu_kind="a100")
    start_now(vega)
    job.refresh_from_db()
    assert (job.state, job.account, job.priority, job.time_limit) == (State.QUEUED, "alpha", 7, HOUR)
    assert (job.is_counted, job.reserved_cpu_seconds, job.reserved_gpu_seconds) == (True, 4 * HOUR, 2 * HOUR)
    allocation.refresh_from_db()
    assert (allocation.used_pods, allocation.used_cpus, allocation.used_memory) == (1, 4, GIB)
    assert allocation.used_gpus == {"": 2, "a100": 2}
    assert (allocation.reserved_cpu_seconds, allocation.reserved_gpu_seconds) == (4 * HOUR, 2 * HOUR)


@pytest.mark.parametrize(
    ("limits", "asks"),
    [
        ({"pods": 2}, {}),
        ({"cpus": 9}, {"cpus": 4}),
        ({"memory": 5 * GIB}, {"memory": 2 * GIB}),
        ({"gpus": {"": 5}}, {"gpus": 2, "gpu_kind": "a100"}),
        ({"gpus": {"a100": 5}}, {"gpus": 2, "gpu_kind": "a100"}),
        ({"cpu_hours": 5}, {"cpus": 2}),
        ({"gpu_hours": 5}, {"gpus": 2}),
    ],
)
def test_no_limit_is_exceeded_and_the_next_starts_when_one_ends(
    vega: Site, node: VirtualNode, limits: dict[str, Any], asks: dict[str, Any]
) -> None:
    allocation = limited(node, vega, **limits)
    jobs = held(node, vega, number=4, **asks)
    start_now(vega)
    assert states(jobs) == ["queued", "queued", "held", "held"]
    jobs[2].refresh_from_db()
    assert jobs[2].reason == "QuotaExceeded"
    end(jobs[0])
    assert start_due(vega) is False
    assert states(jobs) == ["cancelled", "queued", "queued", "held"]
    exact(allocation)


def test_a_waiting_pod_shows_the_limit_and_is_looked_at_again_later(vega: Site, node: VirtualNode) -> None:
    limited(node, vega, pods=1)
    make_job(node=node, state=State.RUNNING, time_limit=HOUR)
    [job] = held(node, vega)
    start_due(vega)
    job.refresh_from_db()
    assert f"{node.tenant.name} uses 1 of 1 pod at Vega, and the pod asks for 1." in job.message
    assert "The running pod ends at" in job.message
    assert job.next_start_at is not None
    assert timedelta(seconds=50) < job.next_start_at - timezone.now() < timedelta(seconds=70)
    assert "QuotaExceeded" in job.status_exact


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"enabled": False}, "AllocationRevoked"),
        ({"valid_from": timezone.now() - timedelta(days=9), "valid_until": timezone.now()}, "AllocationExpired"),
        ({"valid_from": timezone.now() + timedelta(days=9)}, "AllocationNotYetValid"),
    ],
)
def test_nothing_starts_under_a_closed_allocation(
    vega: Site, node: VirtualNode, fields: dict[str, Any], reason: str
) -> None:
    limited(node, vega, **fields)
    [job] = held(node, vega)
    start_now(vega)
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.HELD, reason)


def test_an_allocation_that_expires_while_a_pod_is_held_is_the_new_reason(vega: Site, node: VirtualNode) -> None:
    allocation = limited(node, vega, pods=0)
    [job] = held(node, vega)
    start_now(vega)
    Allocation.objects.filter(pk=allocation.pk).update(
        pods=None, valid_from=timezone.now() - timedelta(days=2), valid_until=timezone.now()
    )
    start_now(vega)
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.HELD, "AllocationExpired")


def test_a_revocation_becomes_the_reason_of_pods_that_waited_for_a_limit(vega: Site, node: VirtualNode) -> None:
    allocation = limited(node, vega, pods=1)
    make_job(node=node, state=State.RUNNING, time_limit=HOUR)
    [job] = held(node, vega)
    start_due(vega)
    allocations.revoke(allocation)
    start_due(vega)
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.HELD, "AllocationRevoked")


def test_a_grant_starts_the_pods_that_waited_for_it(vega: Site, node: VirtualNode) -> None:
    Allocation.objects.all().delete()
    jobs = held(node, vega, number=2)
    start_due(vega)
    assert states(jobs) == ["held", "held"]
    jobs[0].refresh_from_db()
    assert jobs[0].reason == "NoAllocation"
    allocations.grant(node.tenant, vega, {"pods": 1})
    assert ("submit", vega.pk) in list(due.work(now=timezone.now()))
    start_due(vega)
    assert states(jobs) == ["queued", "held"]


def test_a_lowered_limit_kills_nothing_and_starts_nothing(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    allocation = limited(node, vega, pods=3)
    running = [make_job(node=node, state=State.RUNNING) for _ in range(3)]
    allocations.change(allocation, {"pods": 2})
    waiting = held(node, vega)
    start_now(vega)
    assert states([*running, *waiting]) == ["running", "running", "running", "held"]
    end(running[0])
    start_due(vega)
    assert states(waiting) == ["held"]
    end(running[1])
    start_due(vega)
    assert states(waiting) == ["queued"]


def test_a_held_pod_that_can_never_fit_any_more_says_so_and_delays_no_other(
    vega: Site, node: VirtualNode, settings: Settings
) -> None:
    settings.HOLD_PATIENCE = 0
    limited(node, vega, cpus=4)
    [large] = held(node, vega, cpus=8)
    [small] = held(node, vega)
    start_now(vega)
    large.refresh_from_db()
    assert states([large, small]) == ["held", "queued"]
    assert "may use no more than 4 CPUs" in large.message


def test_small_pods_may_pass_a_large_one_until_its_patience_ends(
    vega: Site, node: VirtualNode, settings: Settings
) -> None:
    allocation = limited(node, vega, cpus=4)
    first = make_job(node=node, cpus=3)
    [large] = held(node, vega, cpus=4)
    [small] = held(node, vega)
    start_now(vega)
    assert states([large, small]) == ["held", "queued"]
    end(small)
    settings.HOLD_PATIENCE = 0
    [late] = held(node, vega)
    start_now(vega)
    late.refresh_from_db()
    assert states([large, late]) == ["held", "held"]
    assert "goes first" in late.message
    end(first)
    start_due(vega)
    assert states([large, late]) == ["queued", "held"]
    exact(allocation)


def test_no_pod_waits_behind_one_whose_budget_is_spent(vega: Site, node: VirtualNode, settings: Settings) -> None:
    settings.HOLD_PATIENCE = 0
    allocation = limited(node, vega, cpu_hours=10)
    start_now(vega)
    Allocation.objects.filter(pk=allocation.pk).update(spent_cpu_seconds=6 * HOUR, period_began=_month())
    [large] = held(node, vega, cpus=5)
    [small] = held(node, vega, cpus=4)
    start_now(vega)
    assert states([large, small]) == ["held", "queued"]


def test_nodes_and_people_take_turns(vega: Site, node: VirtualNode) -> None:
    limited(node, vega, pods=3)
    flood = held(node, vega, number=5)
    modest = held(make_node(tenant=node.tenant, site=vega)[0], vega, number=2)
    start_now(vega)
    assert states(flood) == ["queued", "queued", "held", "held", "held"]
    assert states(modest) == ["queued", "held"]


def test_each_tenant_has_its_own_limits(vega: Site, node: VirtualNode) -> None:
    other = make_node(site=vega)[0]
    limited(node, vega, pods=1)
    limited(other, vega, pods=2)
    mine, theirs = held(node, vega, number=3), held(other, vega, number=3)
    start_now(vega)
    assert states(mine).count("queued") == 1
    assert states(theirs).count("queued") == 2


def test_more_pods_than_one_batch_are_started_or_given_a_reason(
    vega: Site, node: VirtualNode, settings: Settings
) -> None:
    settings.BATCH_JOBS = 3
    limited(node, vega, pods=5)
    jobs = held(node, vega, number=12)
    rounds = 0
    while start_due(vega):
        rounds += 1
        assert rounds < 10
    assert states(jobs) == ["queued"] * 5 + ["held"] * 7
    assert set(Job.objects.filter(state=State.HELD).values_list("reason", flat=True)) == {"QuotaExceeded"}
    assert ("submit", vega.pk) in list(due.work(now=timezone.now()))  # the submit task for the queued ones
    Job.objects.filter(state=State.QUEUED).update(next_submit_at=timezone.now() + timedelta(hours=1))
    assert ("submit", vega.pk) not in list(due.work(now=timezone.now()))


def test_a_start_takes_as_many_statements_for_many_as_for_one(vega: Site, node: VirtualNode) -> None:
    limited(node, vega)

    def statements(number: int) -> int:
        held(node, vega, number=number)
        with CaptureQueriesContext(connection) as queries:
            start_due(vega)
        return len(queries)

    statements(1)
    assert statements(30) == statements(1)


def test_the_actual_use_replaces_the_reservation(vega: Site, memory: MemorySite, node: VirtualNode) -> None:
    allocation = limited(node, vega, cpu_hours=10)
    [job] = held(node, vega, cpus=4, time_limit=2 * HOUR)
    submit_now(vega)
    job.refresh_from_db()
    assert exact(allocation).reserved_cpu_seconds == 8 * HOUR
    began = timezone.now() - timedelta(minutes=30)
    lifecycle.move([Move(job.pk, 1, State.RUNNING, {"started_at": began})], now=timezone.now())
    lifecycle.move([Move(job.pk, 1, State.SUCCEEDED)], now=timezone.now())
    exact(allocation)
    assert (allocation.reserved_cpu_seconds, allocation.used_pods, allocation.used_cpus) == (0, 0, 0)
    assert abs(allocation.spent_cpu_seconds - 4 * 1800) < 100
    assert UsageRecord.objects.get().allocation == allocation


def test_a_new_period_begins_with_a_whole_budget(vega: Site, node: VirtualNode) -> None:
    allocation = limited(node, vega, cpu_hours=1)
    Allocation.objects.filter(pk=allocation.pk).update(
        spent_cpu_seconds=HOUR, period_began=_month() - timedelta(days=15)
    )
    [job] = held(node, vega)
    start_now(vega)
    assert states([job]) == ["queued"]
    assert exact(allocation).period_began == _month()


def test_a_cancelled_held_pod_was_never_counted(vega: Site, node: VirtualNode) -> None:
    allocation = limited(node, vega, pods=1)
    jobs = held(node, vega, number=2)
    start_now(vega)
    cancellation.cancel([job.pk for job in jobs], reason="Deleted", now=timezone.now())
    assert states(jobs) == ["cancelled", "cancelled"]
    assert exact(allocation).used_pods == 0


def test_a_drained_site_returns_the_reservations_of_its_queued_jobs(vega: Site, node: VirtualNode) -> None:
    allocation = limited(node, vega, cpu_hours=5)
    jobs = held(node, vega, number=2)
    start_now(vega)
    Site.objects.filter(pk=vega.pk).update(enabled=False)
    hold_drained(now=timezone.now())
    assert states(jobs) == ["held", "held"]
    assert (exact(allocation).used_pods, allocation.reserved_cpu_seconds) == (0, 0)
    assert start_due(Site.objects.get(pk=vega.pk)) is False


@pytest.mark.parametrize(
    ("partition", "own", "given"),
    [
        ("short", None, 1800),
        ("long", None, 3600),
        ("endless", None, 3600),
        ("short,long", None, 3600),
        ("short,endless", None, 3600),
        ("unheard-of", None, 3600),
        ("", None, 600),  # the site's default partition
        ("short", 7200, 7200),  # the site itself will refuse it
    ],
)
def test_a_pod_without_a_time_limit_gets_no_more_than_its_partitions(
    vega: Site, node: VirtualNode, partition: str, own: int | None, given: int
) -> None:
    limited(node, vega, default_time_limit=3600)
    for name, limit in {"short": 1800, "long": 86400, "endless": None, "quick": 600}.items():
        Partition.objects.create(
            site=vega, name=name, nodes=1, cpus=1, memory=1, time_limit=limit, default=name == "quick", seen_at=_month()
        )
    [job] = held(node, vega, partition=partition, time_limit=own)
    start_due(vega)
    job.refresh_from_db()
    assert (job.state, job.time_limit) == (State.QUEUED, given)


def test_a_pod_in_a_partition_no_longer_allowed_is_held(vega: Site, node: VirtualNode) -> None:
    limited(node, vega, partitions=["batch"])
    [job] = held(node, vega, partition="gpu")
    start_now(vega)
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.HELD, "NotAllowed")
    assert "allowed are: batch" in job.message


def _month() -> Any:
    return timezone.now().replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def test_a_tenant_without_limits_cannot_ask_for_more_than_a_counter_holds(vega: Site, node: VirtualNode) -> None:
    """Two pods of 2**62 bytes once stopped the whole site: their sum is in no bigint."""
    limited(node, vega)
    largest = held(node, vega, number=2, memory=2**62)
    other = make_node(site=vega)[0]
    [small] = held(other, vega)
    start_now(vega)
    assert states([*largest, small]) == ["queued", "held", "queued"]


def test_one_tenants_jobs_that_the_database_refuses_keep_no_other_from_starting(vega: Site, node: VirtualNode) -> None:
    [job] = held(node, vega)
    assert job.demand is not None
    Job.objects.filter(pk=job.pk).update(demand={**job.demand, "partition": "x" * 2000})  # longer than its column
    [small] = held(make_node(site=vega)[0], vega)
    start_now(vega)
    assert states([job, small]) == ["held", "queued"]
