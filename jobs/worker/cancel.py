"""Sends cancellations to the site until a poll confirms that the job has ended."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from jobs import lifecycle
from jobs.models import Job
from jobs.states import State
from jobs.worker.contact import speaking_to

if TYPE_CHECKING:
    from sites.models import Site

logger = logging.getLogger(__name__)


def cancel_due(site: Site) -> bool:
    """Cancels one batch of jobs at the site. Returns False when none was due.

    Raises Unreachable when the site did not answer; the jobs then stay due. An attempt in doubt is left out: recovery
    settles it first, and its cancellation is due right after that.
    """
    at_site = Q(state__in=[State.PENDING, State.RUNNING]) | Q(lost_at__isnull=False)
    due = Job.objects.filter(at_site, site=site, next_cancel_at__lte=timezone.now())
    jobs = list(due.defer("request").order_by("next_cancel_at")[: settings.BATCH_JOBS])
    if not jobs:
        return False
    with speaking_to(site) as connector:
        connector.cancel([job.ref for job in jobs])
    now = timezone.now()
    longest = timedelta(seconds=settings.RETRY_LONGEST)
    moves = []
    for job in jobs:
        # The poll needs a moment to report the end. Wait as long as the request has waited already: the gap doubles.
        waited = now - (job.cancel_requested_at or now)
        wait = min(max(waited, timedelta(seconds=3 * site.poll_interval)), longest)
        moves.append(lifecycle.Move(job.pk, job.attempt, changes={"next_cancel_at": now + wait}))
    lifecycle.move(moves, now=now)
    logger.info("cancelled", extra={"jobs": len(jobs)})
    return True
