"""Giving a site its due pods, a batch in one call.

The attempt and its random key are committed before any I/O (`claiming`); what nobody heard the end of is settled by
`recovery`. So a crash anywhere leaves at most one batch job of a pod.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.utils import timezone

from jobs import lifecycle
from jobs.lifecycle import Move
from jobs.states import State
from jobs.worker.claim import claim, pack
from jobs.worker.contact import speaking_to
from sites import health
from sites.connectors.base import InDoubt, Rejected, Unreachable
from sites.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from jobs.models import Job
    from jobs.worker.claim import Batch
    from sites.connectors.base import Submitted
    from sites.models import Site

logger = logging.getLogger(__name__)

#: Characters of a site's words that are kept: `reason` is a column's width, a message is for a person to read.
_REASON, _MESSAGE = 100, 2000


def submit_due(site: Site) -> bool:
    """Submit one batch of what is due. False when nothing was; `Unreachable` once its jobs are noted as in doubt."""
    jobs = claim(site, now=timezone.now())
    if not jobs:
        return False
    batch = pack(jobs)
    _set_aside(batch, now=timezone.now())
    if not batch.workloads:
        return True
    try:
        with speaking_to(site) as connector:
            answers = connector.submit(list(batch.workloads.values()))
    except Unreachable as silence:
        doubts = [doubted(job, silence.message, now=timezone.now()) for job in batch.workloads]
        lifecycle.move(doubts, now=timezone.now())
        raise
    record(batch.workloads, answers, now=timezone.now())
    return True


def record(jobs: Collection[Job], answers: Mapping[str, Submitted], *, now: datetime) -> None:
    """Write down what the site said of these submissions; a key it did not mention is in doubt."""
    moves = [_move(job, answers.get(job.attempt_key, InDoubt()), now=now) for job in jobs]
    moved = lifecycle.move(moves, now=now)
    logger.info("submitted", extra={"jobs": len(moves), "moved": len(moved)})


def _move(job: Job, answer: Submitted, *, now: datetime) -> Move:
    match answer:
        case str():
            return started(job, answer, now=now)
        case Rejected():
            return refused(job, answer)
        case InDoubt():
            return doubted(job, answer.message, now=now)


def _set_aside(batch: Batch, *, now: datetime) -> None:
    """End the pods that can never run, and put back those that this call cannot carry."""
    moves = [failed(*unfit) for unfit in batch.unfit]
    moves += [put_back(job, now=now) for job in batch.left]
    lifecycle.move(moves, now=now)


def started(job: Job, native_id: str, *, now: datetime) -> Move:
    """The site has it in its queue."""
    return Move(
        job.pk,
        job.attempt,
        State.PENDING,
        {"native_id": native_id, "submitted_at": now, "next_find_at": None, "tries": 0, "reason": "", "message": ""},
    )


def refused(job: Job, refusal: Rejected) -> Move:
    """The site will not have this pod, now or later."""
    return failed(job, refusal.reason, refusal.message)


def failed(job: Job, reason: str, message: str) -> Move:
    return Move(job.pk, job.attempt, State.FAILED, {"reason": reason[:_REASON], "message": message[:_MESSAGE]})


def doubted(job: Job, why: str, *, now: datetime) -> Move:
    """The site may have it: ask `find`, soon at first."""
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


def put_back(job: Job, *, now: datetime) -> Move:
    """Nothing was said to the site about it: its turn comes with the next batch."""
    return Move(job.pk, job.attempt, State.QUEUED, {"next_find_at": None, "next_submit_at": now})


def abandoned(job: Job, *, now: datetime) -> Move:
    """The site has fenced the attempt. Another one may follow, unless the job is not wanted any more."""
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
