"""Settling the submissions that nobody heard the end of: the worker died, the site fell silent, an answer was lost."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs import lifecycle
from jobs.models import AbandonedAttempt, Job
from jobs.states import State
from jobs.worker.contact import speaking_to
from jobs.worker.submit import abandoned, doubted, started
from sites.connectors.base import Absent, InDoubt

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sites.connectors.base import Found
    from sites.models import Site

logger = logging.getLogger(__name__)

#: Seconds that a submission may linger on the network or at the site and still arrive: its fence outlasts that.
_LONGEST_SUBMISSION = 3600


def recover_due(site: Site) -> bool:
    """Ask after one batch of attempts in doubt. False when none was due; `Unreachable` leaves them due."""
    due = Job.objects.filter(site=site, state=State.SUBMITTING, next_find_at__lte=timezone.now())
    jobs = list(due.defer("request").order_by("next_find_at")[: settings.BATCH_JOBS])
    if not jobs:
        return False
    with speaking_to(site) as connector:
        answers = connector.find([job.ref for job in jobs])
    settle(site, {job.pk: job.attempt for job in jobs}, answers, now=timezone.now())
    return True


def settle(site: Site, asked: Mapping[int, int], answers: Mapping[str, Found], *, now: datetime) -> None:
    """Write down what the site said of these attempts (job id -> attempt): it runs, it never will, or ask again."""
    with transaction.atomic():
        # Locked before the decision: a wish to cancel that arrives now must not be overlooked.
        locked = Job.objects.select_for_update().defer("request").filter(pk__in=asked, state=State.SUBMITTING)
        jobs = [job for job in locked.order_by("pk") if job.attempt == asked[job.pk]]
        found = {job.pk: answers.get(job.attempt_key, InDoubt()) for job in jobs}
        moved = lifecycle.move([_move(job, found[job.pk], now=now) for job in jobs], now=now)
        fenced = [job for job in moved if job.state == State.QUEUED]
        AbandonedAttempt.objects.bulk_create([_abandoned(site, job, now=now) for job in fenced], ignore_conflicts=True)
    logger.info("recovered", extra={"jobs": len(asked), "moved": len(moved), "fenced": len(fenced)})


def _move(job: Job, answer: Found, *, now: datetime) -> lifecycle.Move:
    match answer:
        case str():
            return started(job, answer, now=now)
        case Absent():
            return abandoned(job, now=now)
        case InDoubt():
            return doubted(job, answer.message, now=now)


def _abandoned(site: Site, job: Job, *, now: datetime) -> AbandonedAttempt:
    return AbandonedAttempt(
        site=site,
        key=job.attempt_key,
        folder=job.folder,
        account=job.account,
        clean_at=now + timedelta(seconds=max(settings.KEEP_FOLDERS, _LONGEST_SUBMISSION)),
    )
