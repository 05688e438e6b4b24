"""Deletes what is older than the time for which we keep it, a bounded batch at a time.

A job is deleted with its history, after its logs were deleted from the archive and its folder at the site.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.contrib.sessions.models import Session

from controlplane.api.models import KeptAnswer
from controlplane.tenants.models import ApiToken
from jobs import logs
from jobs.models import ArchivedLog, Job, Tombstone, UsageRecord

if TYPE_CHECKING:
    from datetime import datetime

    from django.db.models import QuerySet

logger = logging.getLogger(__name__)

_BATCH = 1000
#: How long an expired token of the token endpoint stays, so that an operator can see why a kubelet was refused.
_KEEP_AUTOMATIC = timedelta(days=1)


def forget_the_old(*, now: datetime) -> dict[str, int]:
    """Deletes logs, jobs, tombstones, usage, answers, sessions and automatic tokens that are too old.

    Returns the number of each, by name.
    """
    over = now - timedelta(seconds=settings.KEEP_JOBS)
    forgotten = {
        "logs": _forget_logs(ArchivedLog.objects.filter(archived_at__lt=now - timedelta(seconds=settings.KEEP_LOGS))),
        "logs of old jobs": _forget_logs(ArchivedLog.objects.filter(job__ended_at__lt=over)),
        "jobs": _forget(
            Job.objects.filter(
                ended_at__lt=over, next_archive_at__isnull=True, next_clean_at__isnull=True, logs__isnull=True
            )
        ),
        "tombstones": _forget(
            Tombstone.objects.filter(created_at__lt=now - timedelta(seconds=settings.KEEP_TOMBSTONES))
        ),
        "usage": _forget(UsageRecord.objects.filter(ended_at__lt=now - timedelta(seconds=settings.KEEP_USAGE))),
        "sessions": _forget(Session.objects.filter(expire_date__lt=now)),
        "answers": _forget(KeptAnswer.objects.filter(created_at__lt=now - timedelta(seconds=settings.KEEP_ANSWERS))),
        "tokens": _forget(ApiToken.objects.filter(automatic=True, expires_at__lt=now - _KEEP_AUTOMATIC)),
    }
    logger.info("forgotten", extra={"forgotten": forgotten})
    return forgotten


def _forget_logs(archived: QuerySet[ArchivedLog]) -> int:
    """Deletes files and rows. A file that cannot be deleted is tried again in the next sweep."""
    forgotten = last = 0
    while batch := list(archived.filter(pk__gt=last).order_by("pk")[:_BATCH]):
        last = batch[-1].pk
        forgotten += sum(_forget_log(log) for log in batch)
    return forgotten


def _forget_log(log: ArchivedLog) -> bool:
    try:
        logs.forget(log)
    except OSError:
        logger.exception("archived log not deleted", extra={"job": log.job_id})
        return False
    return True


def _forget(rows: QuerySet[Any]) -> int:
    forgotten = 0
    while batch := list(rows.order_by("pk").values_list("pk", flat=True)[:_BATCH]):
        rows.filter(pk__in=batch).delete()
        forgotten += len(batch)
    return forgotten
