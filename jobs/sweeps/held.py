"""Re-places held jobs and updates their reasons; takes back what a drained site has not begun.

Whether a job's allocation has room for it is for `jobs/worker/start.py` to say.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.conf import settings
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
    from collections.abc import Sequence
    from datetime import datetime

    from jobs.models import Changes
    from jobs.placement.eligibility import Situation

logger = logging.getLogger(__name__)

# Without a site a job has nothing due, and nothing left to clean: an attempt that was fenced is listed as abandoned.
_NOTHING_DUE: Changes = {"next_start_at": None, "next_submit_at": None, "attempt_key": "", "folder": ""}


def place_held(*, now: datetime) -> int:
    """Find sites for those that came through a virtual node, and tell the others why they wait. The number placed."""
    held = Job.objects.filter(state=State.HELD, node__isnull=False)
    nodes = held.order_by().values_list("node_id", flat=True).distinct()
    return sum(_place(node_id, now=now) for node_id in list(nodes) if node_id is not None)


def settle_held(*, now: datetime) -> int:
    """Settle anew what those ask for that were taken back after their start; how many.

    And those that a release before this one has left: it kept no demand, so what it had queued starts anew as well.
    """
    left = Job.objects.filter(state=State.QUEUED, demand__isnull=True)
    lifecycle.move_all(left, to=State.HELD, changes={**_NOTHING_DUE, "next_start_at": now}, now=now)
    unsettled = Job.objects.filter(state=State.HELD, demand__isnull=True, site__isnull=False)
    return sum(
        len(lifecycle.move([_settled(job, routes.of_job(job, now=now).situations, now=now)], now=now))
        for job in unsettled.select_related("tenant", "site").order_by("pk")[: settings.BATCH_JOBS]
    )


def hold_drained(*, now: datetime) -> int:
    """Take back the queued jobs of sites that take no new work, and what they hold of their allocations.

    Another site may have those that came through a virtual node. The others were submitted to this one: they keep it
    and start when it takes work again.
    """
    drained = Q(site__enabled=False)
    queued = Job.objects.filter(drained, state=State.QUEUED)
    elsewhere: Changes = {**_NOTHING_DUE, "site_id": None, "reason": Reason.SITE_DRAINING}
    taken = lifecycle.move_all(queued.filter(node__isnull=False), to=State.HELD, changes=elsewhere, now=now)
    for site in Site.objects.filter(enabled=False):
        told: Changes = {"reason": Reason.SITE_DRAINING, "message": health.drained(site.name).message}
        here: Changes = {**_NOTHING_DUE, **told, "next_start_at": now}
        theirs = Job.objects.filter(site=site, node__isnull=True)
        taken += lifecycle.move_all(theirs.filter(state=State.QUEUED), to=State.HELD, changes=here, now=now)
        lifecycle.move_all(theirs.filter(state=State.HELD).exclude(reason=Reason.SITE_DRAINING), changes=told, now=now)
    return len(taken)


def _place(node_id: int, *, now: datetime) -> int:
    found = routes.of_node(node_id, now=now)
    held = Job.objects.filter(node_id=node_id, state=State.HELD)
    if found.closed is not None:
        untold = held.exclude(reason=found.closed.reason, message=found.closed.message)
        said: Changes = {
            "site_id": None,
            "next_start_at": None,
            "reason": found.closed.reason,
            "message": found.closed.message,
        }
        lifecycle.move_all(untold, changes=said, now=now)
        return 0
    open_sites = [situation.site.pk for situation in found.situations if situation.site.enabled]
    elsewhere = held.exclude(site__in=open_sites).order_by("pk")
    placed: list[Job] = []
    # A bounded batch at a time: each that is moved is at one of these sites from then on, or over.
    while batch := list(elsewhere[: settings.BATCH_JOBS]):
        moved = lifecycle.move([_settled(job, found.situations, now=now) for job in batch], now=now)
        placed += [job for job in moved if job.state == State.HELD]
        if len(moved) < len(batch):
            break  # somebody else moves them at this moment; the next sweep looks again
    for site_id in {job.site_id for job in placed if job.site_id is not None}:
        nudge.nudge("submit", site_id)
    return len(placed)


def _settled(job: Job, situations: Sequence[Situation], *, now: datetime) -> Move:
    """To the best of these sites. The pod is read anew where that matters: flavors differ per site.

    The job fails where none of them has its flavor, or where the flavor does not allow what it asks for.
    """
    try:
        if job.demand is None or job.flavor:
            answers = ranking.rank(manifest.parse(payload.read_request(job)), situations)
        else:
            answers = ranking.rank(Demand.from_json(job.demand), situations)
    except (IsthmusError, Unsealable) as refusal:
        return _failed(job, str(refusal))
    best = next((answer for answer in answers if answer.verdict is not None), None)
    if best is None:
        return _failed(job, " ".join(dict.fromkeys(answer.refusal for answer in answers)))
    waits = best.closed or Waits("", "")
    changes: Changes = {"site_id": best.site.pk, "next_start_at": now, "reason": waits.reason, "message": waits.message}
    return Move(job.pk, job.attempt, changes={**changes, **lifecycle.demand_columns(best.demand)})


def _failed(job: Job, message: str) -> Move:
    return Move(job.pk, job.attempt, State.FAILED, {"reason": Reason.INVALID_POD, "message": message})
