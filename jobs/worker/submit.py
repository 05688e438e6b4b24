"""Gives a site its due pods, a batch in one call, and settles the attempts whose outcome nobody heard.

The attempt and its random key are committed before any I/O (`claim`). Where the worker dies, the site falls silent or
an answer is lost, the attempt is in doubt, and recovery asks the site for it by its key. So a crash anywhere leaves at
most one batch job of a pod.
"""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from jobs import lifecycle
from jobs.lifecycle import Move
from jobs.models import AbandonedAttempt, Job
from jobs.states import State
from jobs.worker.claim import claim, pack
from jobs.worker.contact import fell_silent, speaking_to
from sites import health
from sites.connectors.base import Absent, InDoubt, Rejected, Unreachable
from sites.connectors.config import BadConfig
from sites.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from jobs.models import Changes
    from sites.connectors.base import Found, Submitted
    from sites.models import Site

logger = logging.getLogger(__name__)

#: Characters of a site's words that are kept: `reason` is a column's width, a message is for a person to read.
_REASON, _MESSAGE = 100, 2000
#: Seconds in which a submission may still arrive at the site after we gave it up. Its folder keeps the fence that long.
_LONGEST_SUBMISSION = 3600


def submit_due(site: Site) -> bool:
    """Submits one batch of due jobs. Returns False when none was due.

    Raises Unreachable when the site did not answer, and its jobs are then on record as in doubt; or when its settings
    cannot be used, and its breaker is then open.
    """
    try:
        jobs = claim(site, now=timezone.now())
    except BadConfig as error:
        fell_silent(site, error.message)
        raise
    if not jobs:
        return False
    batch = pack(jobs)
    now = timezone.now()
    # The site was not called for these: they fail, or their turn comes with the next batch.
    put_back: Changes = {"next_find_at": None, "next_submit_at": now}
    not_sent = [_failed(*unfit) for unfit in batch.unfit]
    not_sent += [Move(job.pk, job.attempt, State.QUEUED, put_back) for job in batch.left]
    lifecycle.move(not_sent, now=now)
    if not batch.workloads:
        return True
    try:
        with speaking_to(site) as connector:
            answers = connector.submit(list(batch.workloads.values()))
    except Unreachable as silence:
        doubts = [_doubted(job, silence.message, now=timezone.now()) for job in batch.workloads]
        lifecycle.move(doubts, now=timezone.now())
        raise
    record_submissions(batch.workloads, answers, now=timezone.now())
    return True


def record_submissions(jobs: Collection[Job], answers: Mapping[str, Submitted], *, now: datetime) -> None:
    """Writes down the site's answers to these submissions (attempt key -> answer). A missing answer is a doubt."""
    moves = [_outcome(job, answers.get(job.attempt_key, InDoubt()), now=now) for job in jobs]
    moved = lifecycle.move(moves, now=now)
    logger.info("submitted", extra={"jobs": len(moves), "moved": len(moved)})


def recover_due(site: Site) -> bool:
    """Asks the site for one batch of attempts in doubt. Returns False when none was due.

    Raises Unreachable when the site did not answer; the attempts then stay due.
    """
    due = Job.objects.filter(site=site, state=State.SUBMITTING, next_find_at__lte=timezone.now())
    jobs = list(due.defer("request").order_by("next_find_at")[: settings.BATCH_JOBS])
    if not jobs:
        return False
    with speaking_to(site) as connector:
        answers = connector.find([job.ref for job in jobs])
    settle(site, {job.pk: job.attempt for job in jobs}, answers, now=timezone.now())
    return True


def settle(site: Site, asked: Mapping[int, int], answers: Mapping[str, Found], *, now: datetime) -> None:
    """Writes down the site's answers about attempts in doubt.

    asked: job id -> attempt; answers: attempt key -> native id, Absent (the site has fenced it: it will never run) or
    InDoubt, which a missing answer is too.
    """
    with transaction.atomic():
        # Locked before the decision: a request to cancel that arrives now must not be overlooked.
        locked = Job.objects.select_for_update().defer("request").filter(pk__in=asked, state=State.SUBMITTING)
        jobs = [job for job in locked.order_by("pk") if job.attempt == asked[job.pk]]
        moves = [_outcome(job, answers.get(job.attempt_key, InDoubt()), now=now) for job in jobs]
        moved = lifecycle.move(moves, now=now)
        clean_at = now + timedelta(seconds=max(settings.KEEP_FOLDERS, _LONGEST_SUBMISSION))
        fenced = [
            AbandonedAttempt(site=site, key=job.attempt_key, folder=job.folder, account=job.account, clean_at=clean_at)
            for job in moved
            if job.state == State.QUEUED
        ]
        AbandonedAttempt.objects.bulk_create(fenced, ignore_conflicts=True)
    logger.info("recovered", extra={"jobs": len(asked), "moved": len(moved), "fenced": len(fenced)})


def _outcome(job: Job, answer: Submitted | Found, *, now: datetime) -> Move:
    match answer:
        case str():
            return _started(job, answer, now=now)
        case Rejected():
            return _failed(job, answer.reason, answer.message)
        case Absent():
            return _abandoned(job, now=now)
        case InDoubt():
            return _doubted(job, answer.message, now=now)


def _started(job: Job, native_id: str, *, now: datetime) -> Move:
    """The site has taken the job."""
    return Move(
        job.pk,
        job.attempt,
        State.PENDING,
        {"native_id": native_id, "submitted_at": now, "next_find_at": None, "tries": 0, "reason": "", "message": ""},
    )


def _failed(job: Job, reason: str, message: str) -> Move:
    return Move(job.pk, job.attempt, State.FAILED, {"reason": reason[:_REASON], "message": message[:_MESSAGE]})


def _doubted(job: Job, why: str, *, now: datetime) -> Move:
    """The site may have the job: `find` asks it, after a back-off that is short at first."""
    tries = job.tries + 1
    message = why or "The site has not said yet whether it took the job."
    return Move(
        job.pk,
        job.attempt,
        changes={
            "tries": tries,
            "next_find_at": now + health.delay(tries),
            "reason": Reason.IN_DOUBT,
            "message": message[:_MESSAGE],
        },
    )


def _abandoned(job: Job, *, now: datetime) -> Move:
    """The site has fenced the attempt. Another attempt follows, unless somebody asked to cancel the job."""
    if job.cancel_requested_at is not None:
        return Move(job.pk, job.attempt, State.CANCELLED, {"reason": job.cancel_reason or Reason.CANCELLED})
    tries = job.tries + 1
    return Move(
        job.pk,
        job.attempt,
        State.QUEUED,
        {
            "next_find_at": None,
            "tries": tries,
            "next_submit_at": now + health.delay(tries),
            "reason": Reason.RESUBMITTING,
            "message": "The site did not take the job; it is submitted again.",
        },
    )
