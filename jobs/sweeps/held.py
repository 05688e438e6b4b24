"""Held jobs without a site, or with one that will not have them now: finding them one, and taking back what a drained
site has not begun. What a job's allocation has room for is for `starting` to say.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.db.models import Q

from controlplane.errors import IsthmusError
from controlplane.secrets import Unsealable
from jobs import lifecycle, nudge, payload
from jobs.lifecycle import Move
from jobs.models import Job
from jobs.placement import eligibility
from jobs.placement.ranking import DRAINING, Placed, draining
from jobs.placement.routes import destination
from jobs.states import State
from sites import manifest
from sites.models import Site

if TYPE_CHECKING:
    from datetime import datetime

    from jobs.models import Changes

logger = logging.getLogger(__name__)

# Without a site a job has nothing due, and nothing left to clean: an attempt that was fenced is listed as abandoned.
_NOTHING_DUE: Changes = {"next_start_at": None, "next_submit_at": None, "attempt_key": "", "folder": ""}


def place_held(*, now: datetime) -> int:
    """Find sites for those that came through a virtual node, and tell the others why they wait. The number placed."""
    held = Job.objects.filter(state=State.HELD, node__isnull=False)
    nodes = held.order_by().values_list("node_id", flat=True).distinct()
    return sum(_place(node_id, now=now) for node_id in list(nodes) if node_id is not None)


def hold_drained(*, now: datetime) -> int:
    """Take back the queued jobs of sites that take no new work, and what they hold of their allocations.

    Another site may have those that came through a virtual node. The others were submitted to this one: they keep it
    and start when it takes work again.
    """
    drained = Q(site__enabled=False)
    queued = Job.objects.filter(drained, state=State.QUEUED)
    elsewhere: Changes = {**_NOTHING_DUE, "site_id": None, "reason": DRAINING}
    taken = lifecycle.move_all(queued.filter(node__isnull=False), to=State.HELD, changes=elsewhere, now=now)
    for site in Site.objects.filter(enabled=False):
        here: Changes = {**_NOTHING_DUE, "next_start_at": now, "reason": DRAINING, "message": draining(site.name)}
        theirs = Job.objects.filter(site=site, node__isnull=True)
        taken += lifecycle.move_all(theirs.filter(state=State.QUEUED), to=State.HELD, changes=here, now=now)
        told: Changes = {"reason": DRAINING, "message": draining(site.name)}
        lifecycle.move_all(theirs.filter(state=State.HELD).exclude(reason=DRAINING), changes=told, now=now)
    return len(taken)


def _place(node_id: int, *, now: datetime) -> int:
    answer = destination(node_id)
    held = Job.objects.filter(node_id=node_id, state=State.HELD)
    if not isinstance(answer, Placed):
        untold = held.exclude(reason=answer.reason, message=answer.message)
        said: Changes = {"site_id": None, "next_start_at": None, "reason": answer.reason, "message": answer.message}
        lifecycle.move_all(untold, changes=said, now=now)
        return 0
    elsewhere = held.exclude(site_id=answer.site_id) if answer.site_id else held
    due: Changes = {"site_id": answer.site_id, "next_start_at": now, "reason": answer.reason, "message": answer.message}
    placed = lifecycle.move_all(elsewhere.filter(flavor=""), changes=due, now=now)
    for job in elsewhere.exclude(flavor=""):
        placed += [moved.pk for moved in lifecycle.move([_with_flavor(job, answer.site_id, due)], now=now)]
    if placed:
        nudge.nudge("submit", answer.site_id)
    return len(placed)


def _with_flavor(job: Job, site_id: int, due: Changes) -> Move:
    """What its flavor means is another thing at each site; where there is none of that name, the job fails."""
    try:
        pod = manifest.parse(payload.read_request(job))
        wanted = eligibility.Wanted.of(eligibility.settled(pod, Site.objects.get(pk=site_id)))
    except (IsthmusError, Unsealable) as refusal:
        return Move(job.pk, job.attempt, State.FAILED, {"reason": "InvalidPod", "message": str(refusal)})
    asked: Changes = {
        "cpus": wanted.cpus,
        "memory": wanted.memory,
        "gpus": wanted.gpus,
        "gpu_kind": wanted.gpu_kind,
        "partition": wanted.partition,
        "time_limit": wanted.time_limit,
    }
    return Move(job.pk, job.attempt, changes={**due, **asked})
