"""An allocation's counters: under concurrent changes, and after any sequence of job lives."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from io import StringIO
from typing import TYPE_CHECKING, Any, Unpack

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from controlplane.audit.models import Event
from controlplane.auth.callers import NodeCaller
from controlplane.tenants.scope import seeing
from jobs import cancellation, lifecycle
from jobs.accounting.records import correct
from jobs.accounting.recount import reconcile
from jobs.lifecycle import Move
from jobs.models import Job, UsageRecord
from jobs.states import AT_SITE, State
from jobs.sweeps.held import hold_drained, place_held
from jobs.worker.start import start_due
from sites import allocations
from sites.models import Allocation, Site
from sites.reasons import Reason
from sites.workload import Phase, Report
from tests.database_roles import as_role
from tests.factories import make_allocation, make_job, make_node
from tests.jobs.clock import start_now
from tests.threads import at_once, closing_connections

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode
    from jobs.models import Changes

pytestmark = pytest.mark.django_db(transaction=True)
HOUR = 3600


def held(node: VirtualNode, site: Site, **fields: Any) -> Job:
    return make_job(node=node, site=site, state=State.HELD, next_start_at=timezone.now(), **fields)


def exact(allocation: Allocation) -> Allocation:
    assert reconcile(repair=False, now=timezone.now()) == []
    allocation.refresh_from_db()
    return allocation


def end(job: Job) -> None:
    lifecycle.move([Move(job.pk, job.attempt, State.CANCELLED)], now=timezone.now())


@pytest.mark.parametrize("attempt", range(4))
def test_two_workers_compete_for_the_last_slot(vega: Site, node: VirtualNode, attempt: int) -> None:
    allocation = make_allocation(node.tenant, vega, pods=1)
    for _ in range(6):
        held(node, vega)
    at_once(*[lambda: start_due(vega)] * 4)
    assert Job.objects.filter(state=State.QUEUED).count() == 1
    assert exact(allocation).used_pods == 1


@pytest.mark.parametrize("attempt", range(4))
def test_two_workers_compete_for_the_last_hour_of_the_budget(vega: Site, node: VirtualNode, attempt: int) -> None:
    allocation = make_allocation(node.tenant, vega, cpu_hours=3)
    for _ in range(6):
        held(node, vega, cpus=1, time_limit=HOUR)
    at_once(*[lambda: start_due(vega)] * 4)
    assert Job.objects.filter(state=State.QUEUED).count() == 3
    assert exact(allocation).reserved_cpu_seconds == 3 * HOUR


def test_a_starting_worker_waits_for_anothers_count(vega: Site, node: VirtualNode) -> None:
    """The first has counted its job and not committed yet: the second must not read the count from before."""
    make_allocation(node.tenant, vega, pods=1)
    held(node, vega)

    def start_another() -> None:
        held(node, vega)
        start_due(vega)

    with ThreadPoolExecutor(1) as other:
        with transaction.atomic():
            start_due(vega)
            pending = other.submit(closing_connections(start_another))
            time.sleep(0.3)
            assert not pending.done()
        pending.result(timeout=30)
    assert list(Job.objects.order_by("pk").values_list("state", flat=True)) == [State.QUEUED, State.HELD]


@pytest.mark.parametrize("attempt", range(4))
def test_simultaneous_ends_and_starts_lose_neither_a_slot_nor_a_wake_up(
    vega: Site, node: VirtualNode, attempt: int
) -> None:
    allocation = make_allocation(node.tenant, vega, pods=4)
    running = [make_job(node=node, state=State.RUNNING) for _ in range(4)]
    waiting = [held(node, vega) for _ in range(4)]
    start_due(vega)  # from here on they are not due by themselves
    at_once(*[lambda job=job: end(job) for job in running], lambda: start_due(vega), lambda: start_due(vega))
    while Allocation.objects.filter(next_start_at__lte=timezone.now()).exists():
        start_due(vega)
    assert {job.state for job in Job.objects.filter(pk__in=[job.pk for job in waiting])} == {State.QUEUED}
    assert exact(allocation).used_pods == 4


def test_overlapping_batches_of_ends_do_not_deadlock(vega: Site) -> None:
    nodes = [make_node(site=vega)[0] for _ in range(4)]
    jobs = [make_job(node=node, state=State.RUNNING) for _ in range(5) for node in nodes]
    moves = [Move(job.pk, job.attempt, State.SUCCEEDED) for job in jobs]

    def shuffled(seed: int) -> None:
        lifecycle.move(random.Random(seed).sample(moves, len(moves)), now=timezone.now())

    at_once(*[lambda seed=seed: shuffled(seed) for seed in range(6)])
    assert UsageRecord.objects.count() == len(jobs)
    for allocation in Allocation.objects.all():
        assert exact(allocation).used_pods == 0


def test_a_period_that_two_workers_find_over_is_begun_once(vega: Site, node: VirtualNode) -> None:
    allocation = make_allocation(node.tenant, vega, cpu_hours=1)
    last_month = timezone.now() - timedelta(days=40)
    Allocation.objects.filter(pk=allocation.pk).update(spent_cpu_seconds=HOUR, period_began=last_month)
    running = make_job(node=node, state=State.RUNNING)
    Allocation.objects.filter(pk=allocation.pk).update(spent_cpu_seconds=HOUR, period_began=last_month)
    job = held(node, vega)
    at_once(lambda: start_due(vega), lambda: end(running))
    start_now(vega)
    job.refresh_from_db()
    assert job.state == State.QUEUED
    exact(allocation)


def test_the_web_role_releases_what_a_queued_pod_of_its_tenant_holds(
    vega: Site, node: VirtualNode, database_urls: dict[str, str]
) -> None:
    allocation = make_allocation(node.tenant, vega, pods=1)
    first, second = held(node, vega), held(node, vega)
    start_due(vega)
    caller = NodeCaller(node.pk, node.tenant_id, node.slug, token_id=1)
    with as_role(database_urls["web"]), seeing(tenants=[node.tenant_id]):
        cancellation.delete_pod(caller, first.pod_uid, now=timezone.now())
    assert exact(allocation).used_pods == 0
    assert allocation.next_start_at is not None
    start_due(vega)
    second.refresh_from_db()
    assert second.state == State.QUEUED


def test_usage_of_an_earlier_period_is_not_charged_to_this_one(vega: Site, node: VirtualNode) -> None:
    allocation = make_allocation(node.tenant, vega)
    job = make_job(node=node, state=State.RUNNING)
    long_ago = timezone.now() - timedelta(days=40)
    report = Report(job.attempt_key, "7", Phase.SUCCEEDED, started_at=long_ago - timedelta(hours=5), ended_at=long_ago)
    lifecycle.move([Move(job.pk, job.attempt, State.SUCCEEDED, report=report)], now=timezone.now())
    assert UsageRecord.objects.get().cpu_seconds == 5 * HOUR
    assert exact(allocation).spent_cpu_seconds == 0


def test_a_corrected_estimate_corrects_the_spent_budget(vega: Site, node: VirtualNode) -> None:
    allocation = make_allocation(node.tenant, vega)
    job = make_job(node=node, state=State.RUNNING, started_at=timezone.now() - timedelta(hours=9))
    lifecycle.move(
        [Move(job.pk, job.attempt, State.FAILED, {"reason": Reason.LOST, "lost_at": timezone.now()})],
        now=timezone.now(),
    )
    assert exact(allocation).spent_cpu_seconds >= 9 * HOUR
    job.refresh_from_db()
    now = timezone.now()
    report = Report(job.attempt_key, "7", Phase.SUCCEEDED, started_at=now - timedelta(hours=1), ended_at=now, cpus=2)
    with transaction.atomic():
        correct([(job, report)], now=now)
    assert exact(allocation).spent_cpu_seconds == 2 * HOUR


def test_drift_is_reported_in_a_sentence_and_repaired(vega: Site, node: VirtualNode) -> None:
    allocation = make_allocation(node.tenant, vega)
    make_job(node=node, state=State.RUNNING, cpus=3)
    Allocation.objects.update(used_cpus=1, used_gpus={"": 1})
    told = StringIO()
    with pytest.raises(CommandError, match="2 counters are wrong"):
        call_command("reconcile_allocations", stdout=told)
    assert f"{node.tenant.slug} at vega: cpus in use is 1, and counted from the rows it is 3 (+2)." in told.getvalue()
    call_command("reconcile_allocations", "--repair", stdout=told)
    call_command("reconcile_allocations", stdout=told)
    assert told.getvalue().endswith("Every counter agrees with the rows.\n")
    assert (exact(allocation).used_cpus, allocation.used_gpus) == (3, {})
    event = Event.objects.get(verb="allocation.recount", tenant_id=node.tenant_id)
    assert (event.site, event.changes) == ("vega", {"cpus in use": [1, 3], "gpus in use": [1, 0]})


@pytest.mark.parametrize("seed", range(12))
def test_after_any_sequence_of_lives_the_counters_equal_a_recount(vega: Site, node: VirtualNode, seed: int) -> None:
    chance = random.Random(seed)
    nodes = [node, make_node(tenant=node.tenant, site=vega)[0], make_node(site=vega)[0]]
    for each in nodes:
        make_allocation(each.tenant, vega, pods=4, cpus=20, gpus={"": 6, "a100": 3}, cpu_hours=200)
    for _ in range(40):
        chance.choice(_STEPS)(vega, nodes, chance)
        assert reconcile(repair=False, now=timezone.now()) == []
        _nothing_over_a_limit()


def _create(site: Site, nodes: list[VirtualNode], chance: random.Random) -> None:
    kind = chance.choice(["", "a100"])
    gpus = chance.randint(0, 2)
    held(chance.choice(nodes), site, cpus=chance.randint(1, 6), gpus=gpus, gpu_kind=kind if gpus else "")


def _start(site: Site, nodes: list[VirtualNode], chance: random.Random) -> None:
    start_now(Site.objects.get(pk=site.pk))


def _end(site: Site, nodes: list[VirtualNode], chance: random.Random) -> None:
    _move(chance, State.QUEUED, State.FAILED)
    _move(chance, State.RUNNING, State.SUCCEEDED)


def _run(site: Site, nodes: list[VirtualNode], chance: random.Random) -> None:
    now = timezone.now()
    key = f"{chance.getrandbits(160):040x}"
    _move(chance, State.QUEUED, State.SUBMITTING, attempt=1, attempt_key=key, next_find_at=now, next_submit_at=None)
    _move(chance, State.SUBMITTING, State.PENDING, native_id="7", next_find_at=None)
    _move(chance, State.PENDING, State.RUNNING, started_at=now - timedelta(minutes=chance.randint(0, 50)))


def _cancel(site: Site, nodes: list[VirtualNode], chance: random.Random) -> None:
    chosen = list(Job.objects.order_by("?").values_list("pk", flat=True)[:2])
    cancellation.cancel(chosen, reason="Deleted", now=timezone.now())


def _hold(site: Site, nodes: list[VirtualNode], chance: random.Random) -> None:
    Site.objects.filter(pk=site.pk).update(enabled=False)
    hold_drained(now=timezone.now())
    Site.objects.filter(pk=site.pk).update(enabled=True)
    place_held(now=timezone.now())


def _change(site: Site, nodes: list[VirtualNode], chance: random.Random) -> None:
    allocation = chance.choice(list(Allocation.objects.filter(site=site)))
    terms = {"pods": chance.randint(0, 6), "period": chance.choice(["month", "year", "whole"])}
    allocations.change(allocation, {**terms, "enabled": chance.random() < 0.8})


def _move(chance: random.Random, old: State, new: State, **changes: Unpack[Changes]) -> None:
    job = Job.objects.filter(state=old).order_by("?").first()
    if job is not None:
        lifecycle.move([Move(job.pk, job.attempt, new, changes)], now=timezone.now())


_STEPS = [_create, _create, _start, _start, _run, _run, _end, _cancel, _hold, _change]


def _nothing_over_a_limit() -> None:
    """Check every limit. Only the number of pods is limited here, and it may be lower than the current use."""
    for allocation in Allocation.objects.all():
        assert allocation.used_cpus <= 20
        assert allocation.used_gpus.get("", 0) <= 6
        assert allocation.used_gpus.get("a100", 0) <= 3
        counted = Job.objects.filter(allocation=allocation, is_counted=True)
        assert {job.state for job in counted} <= {State.QUEUED, *AT_SITE}
