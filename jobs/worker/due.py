"""Finds which sites have due work, and of which kind, in one statement over partial indexes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import Exists, OuterRef, Q

from jobs.models import AbandonedAttempt, Job
from jobs.states import State
from sites import health
from sites.models import Allocation, Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


def work(*, now: datetime) -> Iterator[tuple[str, int]]:
    """Yields (kind of work, site id) for all due work. A silent site has no due work but its probe."""
    lost, watched = Q(lost_at__isnull=False), Q(state__in=[State.PENDING, State.RUNNING])
    for site in Site.objects.defer("config", "credential").annotate(
        held=_jobs(Q(state=State.HELD, next_start_at__lte=now)),
        freed=Exists(Allocation.objects.filter(site=OuterRef("pk"), next_start_at__lte=now)),
        queued=_jobs(Q(state=State.QUEUED, next_submit_at__lte=now)),
        in_doubt=_jobs(Q(state=State.SUBMITTING, next_find_at__lte=now)),
        watched=_jobs(watched) | _jobs(lost),
        unwanted=_jobs(watched & Q(next_cancel_at__lte=now)) | _jobs(lost & Q(next_cancel_at__lte=now)),
        ended=_jobs(Q(next_archive_at__lte=now)) | _jobs(Q(next_clean_at__lte=now)),
        abandoned=Exists(AbandonedAttempt.objects.filter(site=OuterRef("pk"), clean_at__lte=now)),
    ):
        yield from ((kind, site.pk) for kind in _kinds(site, now=now))


def _kinds(site: Any, *, now: datetime) -> Iterator[str]:
    """site: a row with the annotations of `work`."""
    if (site.next_probe_at or site.next_capacity_at) <= now:
        yield "probe"
    if site.silent_since is not None:
        return
    new = site.queued or site.held or site.freed
    if (new and health.closed(site) is None) or site.in_doubt:
        yield "submit"
    if site.watched and site.next_poll_at <= now:
        yield "poll"
    if site.unwanted:
        yield "cancel"
    if site.ended or site.abandoned:
        yield "clean"


def _jobs(condition: Q) -> Exists:
    return Exists(Job.objects.filter(condition, site=OuterRef("pk")))
