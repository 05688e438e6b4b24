"""Held pods: placed when a site can take them; until then they show the current reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from controlplane.tenants.models import VirtualNode
from jobs import cancellation
from jobs.models import AbandonedAttempt
from jobs.states import State
from jobs.sweeps.held import hold_drained, place_held, settle_held
from jobs.worker.claim import claim
from sites.models import Route, Site
from sites.workload import Demand
from tests.factories import make_allocation, make_job, make_node, make_site
from tests.jobs.clock import recover_now, start_now, submit_now

if TYPE_CHECKING:
    from jobs.models import Job
    from sites.connectors.memory.site import MemorySite


def held(node: VirtualNode) -> Job:
    return make_job(node=node, site=make_site(), state=State.HELD, reason="NoRoute")


def place() -> int:
    return place_held(now=timezone.now())


def test_a_held_pod_is_placed_once_its_node_has_a_route(vega: Site) -> None:
    node = make_node(routed=False)[0]
    job = held(node)
    assert place() == 0
    Route.objects.create(node=node, site=vega)
    make_allocation(node.tenant, vega)
    assert place() == 1
    start_now(vega)
    job.refresh_from_db()
    assert (job.state, job.site_id, job.reason) == (State.QUEUED, vega.pk, "")
    assert job.next_submit_at is not None


def test_a_held_pods_reason_is_updated_when_it_changes(vega: Site, node: VirtualNode) -> None:
    job = held(node)
    VirtualNode.objects.filter(pk=node.pk).update(enabled=False)
    place()
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.HELD, "NodeDisabled")
    VirtualNode.objects.filter(pk=node.pk).update(enabled=True)
    Site.objects.filter(pk=vega.pk).update(enabled=False)
    place()
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.HELD, "SiteDraining")


def test_a_drained_site_returns_the_pods_that_it_has_not_begun(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    begun = make_job(node=node)
    submit_now(vega)
    waiting = make_job(node=node)
    Site.objects.filter(pk=vega.pk).update(enabled=False)
    assert hold_drained(now=timezone.now()) == 1
    place()
    begun.refresh_from_db()
    waiting.refresh_from_db()
    assert begun.state == State.PENDING
    assert (waiting.state, waiting.site_id, waiting.reason) == (State.HELD, None, "SiteDraining")
    assert "Vega" in waiting.message
    Site.objects.filter(pk=vega.pk).update(enabled=True)
    assert place() == 1


def test_a_pod_taken_back_after_a_fenced_attempt_leaves_nothing_to_clean(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    job = make_job(node=node)
    claim(vega, now=timezone.now())
    recover_now(vega)
    Site.objects.filter(pk=vega.pk).update(enabled=False)
    hold_drained(now=timezone.now())
    cancellation.cancel([job.pk], reason="Deleted", now=timezone.now())
    job.refresh_from_db()
    assert (job.state, job.next_archive_at) == (State.CANCELLED, None)
    assert AbandonedAttempt.objects.filter(site=vega).count() == 1


def test_a_pod_that_no_site_takes_yet_delays_no_other(vega: Site, node: VirtualNode) -> None:
    held(make_node(routed=False)[0])
    other = held(node)
    assert place() == 1
    start_now(vega)
    other.refresh_from_db()
    assert other.state == State.QUEUED


def test_queued_and_held_jobs_of_the_previous_release_get_a_demand_and_start(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    queued, waiting = make_job(node=node, demand=None), make_job(node=node, state=State.HELD, demand=None)
    # Admitted by this release, and started by a worker of the one before.
    mixed = make_job(node=node, demand=Demand().as_json())
    submit_now(vega)
    assert memory.keys() == []
    settle_held(now=timezone.now())
    submit_now(vega)
    for job in (queued, waiting, mixed):
        job.refresh_from_db()
        assert (job.state, bool(job.demand and job.demand["is_granted"]), job.is_counted) == (State.PENDING, True, True)


def test_a_submission_of_the_previous_release_that_never_arrived_starts_again(
    vega: Site, memory: MemorySite, node: VirtualNode
) -> None:
    job = make_job(node=node, state=State.SUBMITTING, demand=None)
    recover_now(vega)
    settle_held(now=timezone.now())
    submit_now(vega)
    job.refresh_from_db()
    assert (job.state, job.attempt) == (State.PENDING, 2)
