"""Tidying up at the site: logs into the archive, then the folders of what has ended and of what never began."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from jobs import lifecycle, logs
from jobs.models import AbandonedAttempt, Job
from jobs.worker.contact import speaking_to

if TYPE_CHECKING:
    from sites.models import Site

logger = logging.getLogger(__name__)


def archive_due(site: Site) -> bool:
    """Keep one batch of ended jobs' logs; their folders are then due to be cleaned. False when none was due."""
    due = Job.objects.filter(site=site, next_archive_at__lte=timezone.now()).defer("request")
    jobs = list(due.order_by("next_archive_at")[: settings.BATCH_JOBS])
    if not jobs:
        return False
    with speaking_to(site) as connector:
        logs.archive(connector, jobs, timezone.now())
    return True


def clean_due(site: Site) -> bool:
    """Remove one batch of ended jobs' folders. False when none was due; `Unreachable` leaves them due."""
    due = Job.objects.filter(site=site, next_clean_at__lte=timezone.now()).defer("request")
    jobs = list(due.order_by("next_clean_at")[: settings.BATCH_JOBS])
    if not jobs:
        return False
    with speaking_to(site) as connector:
        connector.clean([job.ref for job in jobs])
    lifecycle.change_quietly(Job.objects.filter(pk__in=[job.pk for job in jobs]), {"next_clean_at": None})
    return True


def clean_abandoned(site: Site) -> bool:
    """Remove one batch of fenced folders whose time has come."""
    due = AbandonedAttempt.objects.filter(site=site, clean_at__lte=timezone.now())
    attempts = list(due.order_by("clean_at")[: settings.BATCH_JOBS])
    if not attempts:
        return False
    with speaking_to(site) as connector:
        connector.clean([attempt.ref for attempt in attempts])
    AbandonedAttempt.objects.filter(pk__in=[attempt.pk for attempt in attempts]).delete()
    return True
