"""Held jobs start: what fits its tenant's allocation is counted and queued, in fair turns, and the others say why not.

Jobs are locked before their allocation, as everywhere; the limits are read under its lock, so that whatever runs at
the same time, no more is started than fits.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import orjson
from django.conf import settings
from django.db import connection, transaction
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
    from jobs.placement.eligibility import Verdict
    from sites.models import Site

logger = logging.getLogger(__name__)

_TENANTS = """
    SELECT tenant_id FROM jobs_job WHERE site_id = %(site)s AND state = 'held' AND next_start_at <= %(now)s
    UNION
    SELECT tenant_id FROM hpc_sites_allocation WHERE site_id = %(site)s AND next_start_at <= %(now)s
    ORDER BY 1
"""
# Each one's first, then each one's second, and so on; among equals the oldest. What has waited for long is looked at
# with every other, since nobody may pass it.
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
    """What is read of a held job. is_due: its owner is to be told anew; has_waited: for longer than HOLD_PATIENCE."""

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
        """From a row of _HELD. The cursor is a bare one: its JSON comes as text."""
        pk, attempt, demand, *rest = row
        return cls(pk, attempt, Demand.from_json(orjson.loads(demand)), *rest)


def start_due(site: Site) -> bool:
    """Look at one batch of each tenant's held jobs at the site. True while there may be more to look at."""
    if health.closed(site):
        return False
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_TENANTS, {"site": site.pk, "now": now})
        tenants = [tenant_id for (tenant_id,) in cursor.fetchall()]
    unfinished = [tenant_id for tenant_id in tenants if _start(site, tenant_id, now=now)]
    return bool(unfinished)


def _start(site: Site, tenant_id: int, *, now: datetime) -> bool:
    with transaction.atomic():
        theirs = Allocation.objects.filter(tenant_id=tenant_id, site=site)
        freed_at = theirs.filter(next_start_at__lte=now).values_list("next_start_at", flat=True).first()
        held = _held(site, tenant_id, freed=freed_at is not None, now=now)
        allocation = theirs.select_for_update(no_key=True).first()
        if allocation is not None and (behind := counters.roll_over([allocation], now=now)):
            counters.store(behind)
        situation = Situation(Tenant.objects.get(pk=tenant_id), site, allocation, now, list(site.partitions.all()))
        moved = lifecycle.move(_decide(held, situation), now=now)
        started = sum(job.state == State.QUEUED for job in moved)
        may_be_more = len(held) >= settings.BATCH_JOBS
        if freed_at is not None and not (may_be_more and started):
            # What has been freed since then was not looked for: it stays noted.
            theirs.looked_at(freed_at)
    if moved:
        logger.info("looked at held jobs", extra={"tenant": tenant_id, "jobs": len(moved), "started": started})
    return may_be_more and bool(moved)


def _held(site: Site, tenant_id: int, *, freed: bool, now: datetime) -> list[HeldJob]:
    """A batch in turn, their rows locked; where that is full, those as well whose owners have to be told anew."""
    given = {
        "site": site.pk,
        "tenant": tenant_id,
        "now": now,
        "patience": now - timedelta(seconds=settings.HOLD_PATIENCE),
        "limit": settings.BATCH_JOBS,
    }
    chosen = _ask({**given, "all": freed, "long": True, "but": []})
    if len(chosen) < settings.BATCH_JOBS:
        return chosen
    return chosen + _ask({**given, "all": False, "long": False, "but": [each.pk for each in chosen]})


def _ask(given: dict[str, Any]) -> list[HeldJob]:
    with connection.cursor() as cursor:
        cursor.execute(_HELD, given)
        return [HeldJob.read(row) for row in cursor.fetchall()]


def _decide(held: Iterable[HeldJob], situation: Situation) -> list[Move]:
    """The moves for these jobs, in turn. Later ones may pass one that does not fit, unless it has waited for long.

    It has to be one that fits once all that runs has ended: nobody waits for a budget that is spent, or for ever.
    """
    moves: list[Move] = []
    first: HeldJob | None = None
    for job in held:
        verdict = situation.judge(job.demand)
        if verdict.fits and first is None:
            situation.grant(verdict.ask)
            moves.append(_started(job, verdict, situation))
            continue
        if first is None and job.has_waited and verdict.goes_first:
            first = job
        waits = situation.why(verdict) or _behind(first or job, situation)
        if job.is_due or waits.reason != job.reason:  # whose allocation was revoked does not wait for pods to end
            moves.append(_waiting(job, waits, now=situation.now))
    return moves


def _started(job: HeldJob, verdict: Verdict, situation: Situation) -> Move:
    changes: Changes = {
        **situation.terms,
        **lifecycle.demand_columns(verdict.demand),
        "reserved_cpu_seconds": verdict.ask.cpu_seconds,
        "reserved_gpu_seconds": verdict.ask.gpu_seconds,
        "next_start_at": None,
        "next_submit_at": situation.now,
        "reason": "",
        "message": "",
    }
    return Move(job.pk, job.attempt, State.QUEUED, changes)


def _waiting(job: HeldJob, waits: Waits, *, now: datetime) -> Move:
    """Looked at again after as long as it has waited, within bounds, or when its wait ends.

    What frees meanwhile is noticed anyway (Allocation.next_start_at).
    """
    shortest, longest = timedelta(seconds=settings.START_RETRY), timedelta(seconds=settings.RETRY_LONGEST)
    again = now + max(shortest, min(now - job.created_at, longest))
    if waits.until is not None and waits.until > now:
        again = min(again, waits.until)
    return Move(job.pk, job.attempt, changes={"reason": waits.reason, "message": waits.message, "next_start_at": again})


def _behind(first: HeldJob, situation: Situation) -> Waits:
    since = limits.moment(first.created_at)
    return Waits(
        Reason.QUOTA_EXCEEDED,
        f"A pod of {situation.tenant.name} that has waited for {situation.site.name} since {since} goes first.",
    )
