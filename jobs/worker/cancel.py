"""Carrying wishes to cancel to the site, again and again until a poll says that the job has ended."""

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
    from datetime import datetime

    from sites.models import Site

logger = logging.getLogger(__name__)


def cancel_due(site: Site) -> bool:
    """Cancel one batch of unwanted jobs at the site. False when none was due; `Unreachable` leaves them due.

    An attempt still in doubt is not for the site to cancel: recovery settles it first, and the wish is due at once.
    """
    theirs = Q(state__in=[State.PENDING, State.RUNNING]) | Q(lost_at__isnull=False)
    due = Job.objects.filter(theirs, site=site, next_cancel_at__lte=timezone.now())
    jobs = list(due.defer("request").order_by("next_cancel_at")[: settings.BATCH_JOBS])
    if not jobs:
        return False
    with speaking_to(site) as connector:
        connector.cancel([job.ref for job in jobs])
    now = timezone.now()
    lifecycle.move([_again(job, site, now=now) for job in jobs], now=now)
    logger.info("cancelled", extra={"jobs": len(jobs)})
    return True


def _again(job: Job, site: Site, *, now: datetime) -> lifecycle.Move:
    """Ask again after twice the time that the wish has waited: the poll needs a moment to tell that it was granted."""
    waited = now - (job.cancel_requested_at or now)
    wait = max(waited, timedelta(seconds=3 * site.poll_interval))
    longest = timedelta(seconds=settings.RETRY_LONGEST)
    return lifecycle.Move(job.pk, job.attempt, changes={"next_cancel_at": now + min(wait, longest)})
