"""Cancels orphans: jobs that their kubelet stopped polling, such as pods that were deleted while it was down.

An orphan's age counts only minutes in which its node was heard, so a kubelet that is down or cut off orphans nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import F

from jobs import cancellation
from jobs.models import Job
from jobs.states import ALIVE
from sites.reasons import Reason

if TYPE_CHECKING:
    from datetime import datetime

logger = logging.getLogger(__name__)


def reclaim(*, now: datetime) -> int:
    """Cancels the jobs that their node has not polled for ORPHAN_AFTER seconds. Returns how many."""
    # PostgreSQL uses its partial index only where the live states are listed; an exclusion of ends would not do.
    alive = Job.objects.filter(state__in=sorted(ALIVE), cancel_requested_at__isnull=True)
    minutes = int(settings.ORPHAN_AFTER // 60)
    unpolled = alive.filter(polled_minute__lte=F("node__heard_minutes") - minutes)
    # All at once: with ORDER BY and LIMIT, PostgreSQL would walk through a million ended jobs to find a few.
    orphans = sorted(unpolled.values_list("pk", flat=True))
    message = f"Its kubelet has not asked after this pod for {minutes} minutes, though it was heard."
    reclaimed = 0
    for start in range(0, len(orphans), settings.BATCH_JOBS):
        batch = orphans[start : start + settings.BATCH_JOBS]
        reclaimed += len(cancellation.cancel(batch, reason=Reason.ORPHANED, message=message, now=now, verb=""))
    if reclaimed:
        logger.warning("orphans reclaimed", extra={"jobs": reclaimed})
    return reclaimed
