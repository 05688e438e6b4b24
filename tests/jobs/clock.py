"""Let time pass: make waiting rows due now, and run the task that finds them in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone

from jobs import tasks
from jobs.models import Job
from jobs.worker import start
from sites.models import Site

if TYPE_CHECKING:
    from datetime import timedelta


def start_now(site: Site) -> None:
    """Examine all held jobs of a site, and submit nothing."""
    Job.objects.filter(site=site, next_start_at__isnull=False).update(next_start_at=timezone.now())
    while start.start_due(site):
        pass


def submit_now(site: Site) -> None:
    now = timezone.now()
    Job.objects.filter(site=site, next_start_at__isnull=False).update(next_start_at=now)
    Job.objects.filter(site=site, next_submit_at__isnull=False).update(next_submit_at=now)
    tasks.submit(site.pk)


def recover_now(site: Site) -> None:
    """Recover, without submitting again the jobs that recovery puts back: they are in back-off."""
    Job.objects.filter(site=site, next_find_at__isnull=False).update(next_find_at=timezone.now())
    tasks.submit(site.pk)


def poll_now(site: Site) -> None:
    Site.objects.filter(pk=site.pk).update(next_poll_at=timezone.now())
    tasks.poll(site.pk)


def cancel_now(site: Site) -> None:
    Job.objects.filter(site=site, next_cancel_at__isnull=False).update(next_cancel_at=timezone.now())
    tasks.cancel(site.pk)


def clean_now(site: Site) -> None:
    now = timezone.now()
    Job.objects.filter(site=site, next_archive_at__isnull=False).update(next_archive_at=now)
    tasks.clean(site.pk)
    Job.objects.filter(site=site, next_clean_at__isnull=False).update(next_clean_at=now)
    tasks.clean(site.pk)


def probe_now(site: Site) -> None:
    Site.objects.filter(pk=site.pk).update(next_capacity_at=timezone.now())
    Site.objects.filter(pk=site.pk, next_probe_at__isnull=False).update(next_probe_at=timezone.now())
    tasks.probe(site.pk)


def has_been_missing_for(job: Job, duration: timedelta) -> None:
    Job.objects.filter(pk=job.pk).update(missing_since=timezone.now() - duration)
