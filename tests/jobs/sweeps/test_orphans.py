"""Orphans: only minutes in which a node was heard count towards its pods' age."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from controlplane.tenants.models import VirtualNode
from jobs.states import State
from jobs.sweeps import orphans
from tests.factories import make_job

if TYPE_CHECKING:
    from pytest_django import Settings

    from sites.models import Site


def reclaim() -> int:
    return orphans.reclaim(now=timezone.now())


def heard_for(node: VirtualNode, minutes: int) -> None:
    VirtualNode.objects.filter(pk=node.pk).update(heard_minutes=minutes)


def test_a_pod_not_polled_for_an_hour_is_cancelled(vega: Site, node: VirtualNode) -> None:
    forgotten = make_job(node=node, state=State.RUNNING, polled_minute=100)
    asked_after = make_job(node=node, state=State.RUNNING, polled_minute=101)
    heard_for(node, 160)
    assert reclaim() == 1
    forgotten.refresh_from_db()
    asked_after.refresh_from_db()
    assert (forgotten.cancel_reason, forgotten.next_cancel_at is not None) == ("Orphaned", True)
    assert asked_after.cancel_requested_at is None


def test_a_kubelet_that_is_down_orphans_nothing(vega: Site, node: VirtualNode) -> None:
    make_job(node=node, state=State.RUNNING, polled_minute=100)
    heard_for(node, 103)  # no matter how many hours ago that was
    assert reclaim() == 0


def test_an_orphan_without_a_site_ends_at_once(vega: Site, node: VirtualNode) -> None:
    job = make_job(node=node, polled_minute=1)
    heard_for(node, 61)
    reclaim()
    job.refresh_from_db()
    assert (job.state, job.reason) == (State.CANCELLED, "Orphaned")
    assert "60 minutes" in job.message


def test_a_sweep_of_many_handles_each_once(vega: Site, node: VirtualNode, settings: Settings) -> None:
    for _ in range(7):
        make_job(node=node, state=State.RUNNING)
    heard_for(node, 60)
    settings.BATCH_JOBS = 3
    assert reclaim() == 7
    assert reclaim() == 0


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
def test_an_ended_pod_is_not_an_orphan(vega: Site, node: VirtualNode, state: State) -> None:
    make_job(node=node, state=state)
    heard_for(node, 600)
    assert reclaim() == 0
