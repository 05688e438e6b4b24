"""Re-places held jobs and updates their reasons; takes queued jobs back from drained sites.

Whether a job's allocation has room for it, `jobs/worker/start.py` decides.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DataError, IntegrityError
from django.db.models import Q

from controlplane.errors import IsthmusError
from controlplane.secrets import Unsealable
from jobs import lifecycle, nudge, payload
from jobs.lifecycle import Move
from jobs.models import Job
from jobs.placement import ranking, routes
from jobs.states import State
from sites import health, manifest
from sites.models import Site
from sites.reasons import Reason, Waits
from sites.workload import Demand

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from jobs.models import Changes
    from jobs.placement.eligibility import Situation

logger = logging.getLogger(__name__)

# A held job has no work due at a site, and no folder to clean: a fenced attempt has its own row (AbandonedAttempt).
_NOTHING_DUE: Changes = {"next_start_at": None, "next_submit_at": None, "attempt_key": "", "folder": ""}


def place_held(*, now: datetime) -> int:
    """Finds sites for held jobs of virtual nodes, or writes why they wait. Returns how many were placed."""
    held = Job.objects.filter(state=State.HELD, node__isnull=False)
    nodes = held.order_by().values_list("node_id", flat=True).distinct()
    placed = 0
    for node_id in [node_id for node_id in nodes if node_id is not None]:
        try:
            placed += _place(node_id, now=now)
        except (DataError, IntegrityError):
            # One node's rows that the database refuses must not keep the pods of the others waiting.
            logger.exception("held jobs not placed", extra={"node": node_id})
    return placed


def settle_held(*, now: datetime) -> int:
    """Settles the demand again of jobs that were taken back after their start. Returns how many.

    An earlier release grants no demand: jobs that it queued are held again and settled in the same way. After an update
    its workers may still run for a while, beside web processes of this release.
    """
    not_granted = Q(demand__isnull=True) | Q(demand__contains={"is_granted": False})
    lifecycle.move_all(
        Job.objects.filter(not_granted, state=State.QUEUED),
        to=State.HELD,
        changes={**_NOTHING_DUE, "next_start_at": now},
        now=now,
    )
    unsettled = Job.objects.filter(state=State.HELD, demand__isnull=True, site__isnull=False)
    settled = _settle(
        unsettled.select_related("tenant", "site"), lambda job: routes.of_job(job, now=now).situations, now=now
    )
    return len(settled)


def hold_drained(*, now: datetime) -> int:
    """Holds the queued jobs of sites that take no new work, and frees what they use. Returns how many.

    A job of a virtual node may go to another site. A job that was submitted to this site keeps it, and starts when the
    site takes work again.
    """
    drained = Q(site__enabled=False)
    queued = Job.objects.filter(drained, state=State.QUEUED)
    elsewhere: Changes = {**_NOTHING_DUE, "site_id": None, "reason": Reason.SITE_DRAINING}
    taken = lifecycle.move_all(queued.filter(node__isnull=False), to=State.HELD, changes=elsewhere, now=now)
    for site in Site.objects.filter(enabled=False):
        reason: Changes = {"reason": Reason.SITE_DRAINING, "message": health.drained(site.name).message}
        here: Changes = {**_NOTHING_DUE, **reason, "next_start_at": now}
        submitted = Job.objects.filter(site=site, node__isnull=True)
        taken += lifecycle.move_all(submitted.filter(state=State.QUEUED), to=State.HELD, changes=here, now=now)
        held = submitted.filter(state=State.HELD).exclude(reason=Reason.SITE_DRAINING)
        lifecycle.move_all(held, changes=reason, now=now)
    return len(taken)


def _place(node_id: int, *, now: datetime) -> int:
    found = routes.of_node(node_id, now=now)
    held = Job.objects.filter(node_id=node_id, state=State.HELD)
    if found.closed is not None:
        outdated = held.exclude(reason=found.closed.reason, message=found.closed.message)
        changes: Changes = {
            "site_id": None,
            "next_start_at": None,
            "reason": found.closed.reason,
            "message": found.closed.message,
        }
        lifecycle.move_all(outdated, changes=changes, now=now)
        return 0
    open_situations = [situation for situation in found.situations if situation.site.enabled]
    open_sites = [situation.site.pk for situation in open_situations]
    placed = _settle(held.exclude(site__in=open_sites), lambda _: open_situations, now=now)
    for site_id in {job.site_id for job in placed if job.site_id is not None}:
        nudge.nudge("submit", site_id)
    return len(placed)


def _settle(jobs: QuerySet[Job], situations_of: Callable[[Job], Sequence[Situation]], *, now: datetime) -> list[Job]:
    """Settles these jobs at the best of their sites; those that are still held.

    A bounded batch at a time: a job that was moved is no longer among `jobs`.
    """
    settled: list[Job] = []
    while batch := list(jobs.order_by("pk")[: settings.BATCH_JOBS]):
        moved = lifecycle.move([_settled(job, situations_of(job), now=now) for job in batch], now=now)
        settled += [job for job in moved if job.state == State.HELD]
        if len(moved) < len(batch):
            break  # another worker moves some of them now; the next sweep looks again
    return settled


def _settled(job: Job, situations: Sequence[Situation], *, now: datetime) -> Move:
    """The move to the best of these sites. Flavors differ per site, so the flavor is applied again.

    The job fails where no site has its flavor, or where the flavor does not allow what it asks for.
    """
    try:
        if job.demand is None or job.flavor:
            candidates = ranking.rank(manifest.parse(payload.read_request(job)), situations)
        else:
            candidates = ranking.rank(Demand.from_json(job.demand), situations)
    except (IsthmusError, Unsealable) as refusal:
        return _failed(job, str(refusal))
    best = next((each for each in candidates if each.eligibility is not None), None)
    if best is None:
        return _failed(job, " ".join(dict.fromkeys(each.refusal for each in candidates)))
    waits = best.closed or Waits("", "")
    changes: Changes = {"site_id": best.site.pk, "next_start_at": now, "reason": waits.reason, "message": waits.message}
    return Move(job.pk, job.attempt, changes={**changes, **lifecycle.demand_columns(best.demand)})


def _failed(job: Job, message: str) -> Move:
    return Move(job.pk, job.attempt, State.FAILED, {"reason": Reason.INVALID_POD, "message": message})
