"""Jobs that nobody asks after: a kubelet that was down when its pod was deleted never says so.

An orphan's age is counted in minutes in which its node was heard, so that a kubelet that is down, or cut off, orphans
nothing.
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
    """Wish an end to every job that its node has not asked after for ORPHAN_AFTER; how many."""
    # Named one by one, the states that are alive let PostgreSQL use its index over them; those that are not do not.
    alive = Job.objects.filter(state__in=sorted(ALIVE), cancel_requested_at__isnull=True)
    minutes = int(settings.ORPHAN_AFTER // 60)
    unasked = alive.filter(polled_minute__lte=F("node__heard_minutes") - minutes)
    # Not a few at a time in the order of ids: PostgreSQL would walk a million ended jobs to find them.
    orphans = sorted(unasked.values_list("pk", flat=True))
    message = f"Its kubelet has not asked after this pod for {minutes} minutes, though it was heard."
    reclaimed = 0
    for start in range(0, len(orphans), settings.BATCH_JOBS):
        batch = orphans[start : start + settings.BATCH_JOBS]
        reclaimed += len(cancellation.cancel(batch, reason=Reason.ORPHANED, message=message, now=now, verb=""))
    if reclaimed:
        logger.warning("orphans reclaimed", extra={"jobs": reclaimed})
    return reclaimed
