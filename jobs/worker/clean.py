"""Tidies up at the site: archives the logs of ended jobs, then removes their folders and those of fenced attempts."""

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
    """Archives the logs of one batch of ended jobs, whose folders are then due. Returns False when none was due."""
    due = Job.objects.filter(site=site, next_archive_at__lte=timezone.now()).defer("request")
    jobs = list(due.order_by("next_archive_at")[: settings.BATCH_JOBS])
    if not jobs:
        return False
    with speaking_to(site) as connector:
        logs.archive(connector, jobs, timezone.now())
    return True


def clean_due(site: Site) -> bool:
    """Removes the folders of one batch of ended jobs. Returns False when none was due.

    Raises Unreachable when the site did not answer; the jobs then stay due.
    """
    due = Job.objects.filter(site=site, next_clean_at__lte=timezone.now()).defer("request")
    jobs = list(due.order_by("next_clean_at")[: settings.BATCH_JOBS])
    if not jobs:
        return False
    with speaking_to(site) as connector:
        connector.clean([job.ref for job in jobs])
    lifecycle.change_quietly(Job.objects.filter(pk__in=[job.pk for job in jobs]), {"next_clean_at": None})
    return True


def clean_abandoned(site: Site) -> bool:
    """Removes one batch of folders of fenced attempts that are old enough. Returns False when none was due."""
    due = AbandonedAttempt.objects.filter(site=site, clean_at__lte=timezone.now())
    attempts = list(due.order_by("clean_at")[: settings.BATCH_JOBS])
    if not attempts:
        return False
    with speaking_to(site) as connector:
        connector.clean([attempt.ref for attempt in attempts])
    AbandonedAttempt.objects.filter(pk__in=[attempt.pk for attempt in attempts]).delete()
    return True
