"""Starts held jobs that fit their tenant's allocation, in fair turns, and writes on the others why they wait.

Jobs are locked before their allocation, as everywhere. The limits are read under the allocation's lock, so that two
workers together never start more than fits.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson
from django.conf import settings
from django.db import DataError, IntegrityError, connection, transaction
from django.utils import timezone

from controlplane.tenants.models import Tenant
from jobs import lifecycle
from jobs.accounting import counters
from jobs.lifecycle import Move
from jobs.placement.eligibility import Situation
from jobs.states import State
from sites import health, limits
from sites.models import Allocation
from sites.reasons import Reason, Waits
from sites.workload import Demand

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from jobs.models import Changes
    from jobs.placement.eligibility import Eligibility
    from sites.models import Site

logger = logging.getLogger(__name__)

_TENANTS = """
    SELECT tenant_id FROM jobs_job WHERE site_id = %(site)s AND state = 'held' AND next_start_at <= %(now)s
    UNION
    SELECT tenant_id FROM hpc_sites_allocation WHERE site_id = %(site)s AND next_start_at <= %(now)s
    ORDER BY 1
"""
# Each submitter's first job, then each one's second, and so on; the oldest first. Jobs that have waited for long are in
# every batch, since no other job may pass them.
_HELD = """
WITH turns AS (
    SELECT id, row_number() OVER (PARTITION BY node_id, person_id, service_id ORDER BY id) AS turn
    FROM jobs_job WHERE site_id = %(site)s AND tenant_id = %(tenant)s AND state = 'held'
)
SELECT job.id, job.attempt, job.demand, job.created_at, job.reason, job.message,
       coalesce(job.next_start_at <= %(now)s, false), job.created_at <= %(patience)s
FROM jobs_job AS job JOIN turns USING (id)
WHERE job.state = 'held' AND job.site_id = %(site)s AND job.demand IS NOT NULL AND job.id <> ALL(%(but)s)
  AND (%(all)s OR job.next_start_at <= %(now)s OR %(long)s AND job.created_at <= %(patience)s)
ORDER BY turns.turn, job.id
LIMIT %(limit)s
FOR UPDATE OF job SKIP LOCKED
"""


class HeldJob(NamedTuple):
    """What is read of a held job.

    is_due: its reason must be written again. has_waited: it was created more than HOLD_PATIENCE seconds ago.
    """

    pk: int
    attempt: int
    demand: Demand
    created_at: datetime
    reason: str
    message: str
    is_due: bool
    has_waited: bool

    @classmethod
    def read(cls, row: Sequence[Any]) -> Self:
        """Reads a row of _HELD. Django's bare cursor gives JSON as text."""
        pk, attempt, demand, *rest = row
        return cls(pk, attempt, Demand.from_json(orjson.loads(demand)), *rest)


def start_due(site: Site) -> bool:
    """Looks at one batch of each tenant's held jobs at the site. Returns whether there may be more."""
    if health.closed(site):
        return False
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_TENANTS, {"site": site.pk, "now": now})
        tenants = [tenant_id for (tenant_id,) in cursor.fetchall()]
    unfinished = False
    for tenant_id in tenants:
        try:
            unfinished |= _start(site, tenant_id, now=now)
        except (DataError, IntegrityError):
            # One tenant's rows that the database refuses must not keep the others from starting.
            logger.exception("held jobs not started", extra={"tenant": tenant_id})
    return unfinished


def _start(site: Site, tenant_id: int, *, now: datetime) -> bool:
    with transaction.atomic():
        allocations = Allocation.objects.filter(tenant_id=tenant_id, site=site)
        freed_at = allocations.filter(next_start_at__lte=now).values_list("next_start_at", flat=True).first()
        held = _held(site, tenant_id, freed=freed_at is not None, now=now)
        allocation = allocations.select_for_update(no_key=True).first()
        if allocation is not None and (behind := counters.roll_over([allocation], now=now)):
            counters.store_counters(behind)
        situation = Situation(Tenant.objects.get(pk=tenant_id), site, allocation, now, list(site.partitions.all()))
        moved = lifecycle.move(_decide(held, situation), now=now)
        started = sum(job.state == State.QUEUED for job in moved)
        may_be_more = len(held) >= settings.BATCH_JOBS
        if freed_at is not None and not (may_be_more and started):
            # Only what was freed until `freed_at` has been looked for; anything freed later stays noted.
            allocations.looked_at(freed_at)
    if moved:
        logger.info("looked at held jobs", extra={"tenant": tenant_id, "jobs": len(moved), "started": started})
    return may_be_more and bool(moved)


def _held(site: Site, tenant_id: int, *, freed: bool, now: datetime) -> list[HeldJob]:
    """Locks and reads one batch in turn. Where it is full, adds a batch of jobs whose reasons must be written again."""
    parameters = {
        "site": site.pk,
        "tenant": tenant_id,
        "now": now,
        "patience": now - timedelta(seconds=settings.HOLD_PATIENCE),
        "limit": settings.BATCH_JOBS,
    }
    chosen = _read_held({**parameters, "all": freed, "long": True, "but": []})
    if len(chosen) < settings.BATCH_JOBS:
        return chosen
    return chosen + _read_held({**parameters, "all": False, "long": False, "but": [each.pk for each in chosen]})


def _read_held(parameters: dict[str, Any]) -> list[HeldJob]:
    with connection.cursor() as cursor:
        cursor.execute(_HELD, parameters)
        return [HeldJob.read(row) for row in cursor.fetchall()]


def _decide(held: Iterable[HeldJob], situation: Situation) -> list[Move]:
    """The moves for these jobs, in turn. Later jobs may pass one that does not fit, unless it has waited for long.

    Such a job blocks the others only if it would fit with nothing running: others never wait for a spent budget.
    """
    moves: list[Move] = []
    first: HeldJob | None = None
    for job in held:
        eligibility = situation.judge(job.demand)
        if eligibility.fits and first is None:
            situation.grant(eligibility.ask)
            moves.append(_started(job, eligibility, situation))
            continue
        if first is None and job.has_waited and eligibility.goes_first:
            first = job
        waits = situation.why(eligibility)
        if waits is None:
            since = limits.moment((first or job).created_at)
            message = (
                f"A pod of {situation.tenant.name} that has waited for {situation.site.name} since {since} goes first."
            )
            waits = Waits(Reason.QUOTA_EXCEEDED, message)
        if job.is_due or waits.reason != job.reason:  # a new reason, such as a revoked allocation, is written at once
            moves.append(_waiting(job, waits, now=situation.now))
    return moves


def _started(job: HeldJob, eligibility: Eligibility, situation: Situation) -> Move:
    changes: Changes = {
        **situation.terms,
        **lifecycle.demand_columns(eligibility.demand),
        "reserved_cpu_seconds": eligibility.ask.cpu_seconds,
        "reserved_gpu_seconds": eligibility.ask.gpu_seconds,
        "next_start_at": None,
        "next_submit_at": situation.now,
        "reason": "",
        "message": "",
    }
    return Move(job.pk, job.attempt, State.QUEUED, changes)


def _waiting(job: HeldJob, waits: Waits, *, now: datetime) -> Move:
    """Writes the reason, and looks at the job again after as long as it has waited so far, or when its wait ends.

    Between START_RETRY and RETRY_LONGEST seconds. What is freed meanwhile wakes the job anyway
    (Allocation.next_start_at).
    """
    shortest, longest = timedelta(seconds=settings.START_RETRY), timedelta(seconds=settings.RETRY_LONGEST)
    again = now + max(shortest, min(now - job.created_at, longest))
    if waits.until is not None and waits.until > now:
        again = min(again, waits.until)
    return Move(job.pk, job.attempt, changes={"reason": waits.reason, "message": waits.message, "next_start_at": again})
