"""Jobs that nobody asks after: a kubelet that was down when its pod was deleted never says so.

An orphan's age is counted in minutes in which its node was heard, so that a kubelet that is down, or cut off, orphans
nothing.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.conf import settings
from django.db.models import F

from jobs import wishes
from jobs.models import Job
from jobs.states import ENDS

if TYPE_CHECKING:
    from datetime import datetime

logger = logging.getLogger(__name__)

REASON = "Orphaned"


def reclaim(*, now: datetime) -> int:
    """Wish an end to every job that its node has not asked after for ORPHAN_AFTER; how many."""
    alive = Job.objects.exclude(state__in=ENDS).filter(cancel_requested_at__isnull=True)
    minutes = int(settings.ORPHAN_AFTER // 60)
    orphans = alive.filter(polled_minute__lte=F("node__heard_minutes") - minutes).order_by("pk")
    reclaimed = last = 0
    while batch := list(orphans.filter(pk__gt=last).values_list("pk", flat=True)[: settings.BATCH_JOBS]):
        last = batch[-1]
        message = f"Its kubelet has not asked after this pod for {minutes} minutes, though it was heard."
        reclaimed += len(wishes.cancel(batch, reason=REASON, message=message, now=now))
    if reclaimed:
        logger.warning("orphans reclaimed", extra={"jobs": reclaimed})
    return reclaimed
