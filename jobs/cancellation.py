"""The wish to cancel: durable, whatever the site does. What no site has yet is cancelled at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.db import transaction

from controlplane.audit import trail
from jobs import lifecycle, nudge
from jobs.lifecycle import Move
from jobs.models import Changes, Job
from jobs.states import AT_SITE, ENDS, State
from sites.models import Site

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime


def cancel(
    job_ids: Iterable[int], *, reason: str, message: str = "", now: datetime, verb: str = "job.cancel"
) -> list[Job]:
    """Cancel these jobs, or note the wish; those that it changed. Ended and already unwanted ones are left alone.

    reason: one CamelCase word; message: a sentence for the pod's owner. verb: how the audit trail tells it; empty where
    the trail has it already, or nobody asked.
    """
    with transaction.atomic():
        # Locked before the decision: a job being claimed this moment must get the wish, not the end.
        locked = Job.objects.select_for_update().filter(pk__in=job_ids, cancel_requested_at__isnull=True)
        jobs = locked.exclude(state__in=ENDS).only("pk", "state", "attempt").order_by("pk")
        wish: Changes = {"cancel_requested_at": now, "cancel_reason": reason}
        at_site: Changes = {**wish, "next_cancel_at": now}
        elsewhere: Changes = {**wish, "reason": reason, "message": message}
        moves = [
            Move(job.pk, job.attempt, changes=at_site)
            if job.state in AT_SITE
            else Move(job.pk, job.attempt, State.CANCELLED, elsewhere)
            for job in jobs
        ]
        moved = lifecycle.move(moves, now=now)
        if verb:
            _record(verb, moved, reason)
        for site_id in {job.site_id for job in moved if job.state in AT_SITE and job.site_id}:
            nudge.nudge("cancel", site_id)
    return moved


def _record(verb: str, jobs: Iterable[Job], reason: str) -> None:
    slugs = dict(Site.objects.filter(pk__in={job.site_id for job in jobs}).values_list("pk", "slug"))
    for job in jobs:
        site = slugs.get(job.site_id, "") if job.site_id else ""
        changes = {"pod": str(job), "uid": str(job.pod_uid), "reason": reason}
        trail.record(verb, "job", job.key, tenant_id=job.tenant_id, site=site, changes=changes)
