"""For every real way that a job ends: its share of the allocation is free at once, and its use is spent."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from controlplane.tenants.models import VirtualNode
from jobs import cancellation
from jobs.accounting.recount import reconcile
from jobs.models import Job
from jobs.states import State
from jobs.sweeps import held, orphans
from jobs.worker.claim import claim
from sites.connectors.base import Rejected
from sites.models import Site
from sites.workload import Phase
from tests.factories import make_allocation, make_job, make_pod, make_request
from tests.jobs.clock import cancel_now, has_been_missing_for, poll_now, recover_now, start_now, submit_now

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sites.connectors.memory.site import MemorySite

pytestmark = pytest.mark.django_db
HOUR = 3600


def begin(site: Site, job: Job, memory: MemorySite) -> None:
    """Start a job that ran for an hour by the site's clock, and for no time by ours."""
    submit_now(site)
    job.refresh_from_db()
    now = timezone.now().replace(microsecond=0)
    memory.clock = lambda: now - timedelta(hours=1)
    memory.start(job.attempt_key)
    poll_now(site)
    memory.clock = lambda: now


def succeed(site: Site, job: Job, memory: MemorySite) -> None:
    begin(site, job, memory)
    memory.finish(job.attempt_key)
    poll_now(site)


def fail(site: Site, job: Job, memory: MemorySite) -> None:
    begin(site, job, memory)
    memory.finish(job.attempt_key, 3)
    poll_now(site)


def run_out_of_time(site: Site, job: Job, memory: MemorySite) -> None:
    begin(site, job, memory)
    memory.end(job.attempt_key, Phase.FAILED, "DeadlineExceeded")
    poll_now(site)


def cancel_while_it_runs(site: Site, job: Job, memory: MemorySite) -> None:
    begin(site, job, memory)
    cancellation.cancel([job.pk], reason="Deleted", now=timezone.now())
    cancel_now(site)
    poll_now(site)


def cancel_before_its_site_knows(site: Site, job: Job, memory: MemorySite) -> None:
    cancellation.cancel([job.pk], reason="Deleted", now=timezone.now())


def cancel_before_it_starts(site: Site, job: Job, memory: MemorySite) -> None:
    submit_now(site)
    cancellation.cancel([job.pk], reason="Deleted", now=timezone.now())
    cancel_now(site)
    poll_now(site)


def cancel_in_doubt(site: Site, job: Job, memory: MemorySite) -> None:
    claim(site, now=timezone.now())
    cancellation.cancel([job.pk], reason="Deleted", now=timezone.now())
    recover_now(site)


def refuse(site: Site, job: Job, memory: MemorySite) -> None:
    memory.refuse(Rejected("There is no partition gpu.", reason="InvalidPartition"))
    submit_now(site)


def spoil(site: Site, job: Job, memory: MemorySite) -> None:
    Job.objects.filter(pk=job.pk).update(request=b"not what was sealed for it")
    submit_now(site)


def lose(site: Site, job: Job, memory: MemorySite) -> None:
    submit_now(site)
    job.refresh_from_db()
    memory.forget(job.attempt_key)
    poll_now(site)
    has_been_missing_for(job, timedelta(hours=2))
    poll_now(site)


def lose_and_find(site: Site, job: Job, memory: MemorySite) -> None:
    begin(site, job, memory)
    memory.forget(job.attempt_key)
    poll_now(site)
    has_been_missing_for(job, timedelta(hours=2))
    poll_now(site)
    memory.remember(job.attempt_key)
    poll_now(site)
    cancel_now(site)
    poll_now(site)


def orphan(site: Site, job: Job, memory: MemorySite) -> None:
    VirtualNode.objects.update(heard_minutes=100)
    orphans.reclaim(now=timezone.now())


def drain(site: Site, job: Job, memory: MemorySite) -> None:
    Site.objects.filter(pk=site.pk).update(enabled=False)
    held.hold_drained(now=timezone.now())


def of_two_cores() -> dict[str, Any]:
    pod = make_pod()
    pod["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "2"}}
    return make_request(pod)


RAN = 2 * HOUR  # two cores for an hour
ENDS: list[tuple[Callable[[Site, Job, Any], None], State, int]] = [
    (succeed, State.SUCCEEDED, RAN),
    (fail, State.FAILED, RAN),
    (run_out_of_time, State.FAILED, RAN),
    (cancel_while_it_runs, State.CANCELLED, RAN),
    (cancel_before_its_site_knows, State.CANCELLED, 0),
    (cancel_before_it_starts, State.CANCELLED, 0),
    (cancel_in_doubt, State.CANCELLED, 0),
    (refuse, State.FAILED, 0),
    (spoil, State.FAILED, 0),
    (lose, State.FAILED, 0),
    (lose_and_find, State.FAILED, RAN),
    (orphan, State.CANCELLED, 0),
    (drain, State.HELD, 0),
]


@pytest.mark.parametrize(("happen", "state", "spent"), ENDS, ids=[each[0].__name__ for each in ENDS])
def test_a_jobs_reservation_is_released_and_its_use_is_spent(
    vega: Site, memory: MemorySite, node: VirtualNode, happen: Callable[..., None], state: State, spent: int
) -> None:
    allocation = make_allocation(node.tenant, vega, pods=1, cpu_hours=24, default_time_limit=5 * HOUR)
    now = timezone.now()
    first, second = (
        make_job(node=node, state=State.HELD, next_start_at=now, cpus=2, polled_minute=minute, request=of_two_cores())
        for minute in (0, 100)
    )
    start_now(vega)
    allocation.refresh_from_db()
    assert (allocation.used_pods, allocation.reserved_cpu_seconds) == (1, 10 * HOUR)
    happen(vega, first, memory)
    first.refresh_from_db()
    allocation.refresh_from_db()
    assert (first.state, first.is_counted, first.reserved_cpu_seconds) == (state, False, 0)
    assert allocation.spent_cpu_seconds == spent
    assert reconcile(repair=False, now=timezone.now()) == []
    Site.objects.filter(pk=vega.pk).update(enabled=True)
    start_now(vega)
    second.refresh_from_db()
    assert second.state not in {State.HELD, State.FAILED, State.CANCELLED}, "a waiting job gets what was freed"
