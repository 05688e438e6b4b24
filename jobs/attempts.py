"""What a site's answer about an attempt means for its job. Pure: answers in, moves out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.lifecycle import Move
from jobs.states import State
from sites import health

if TYPE_CHECKING:
    from datetime import datetime

    from jobs.models import Job
    from sites.connectors.base import Rejected

#: Characters of a site's words that are kept: `reason` is a column's width, a message is for a person to read.
_REASON, _MESSAGE = 100, 2000


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
            "reason": "InDoubt",
            "message": message[:_MESSAGE],
        },
    )


def put_back(job: Job, *, now: datetime) -> Move:
    """Nothing was said to the site about it: its turn comes with the next batch."""
    return Move(job.pk, job.attempt, State.QUEUED, {"next_find_at": None, "next_submit_at": now})


def abandoned(job: Job, *, now: datetime) -> Move:
    """The site has fenced the attempt. Another one may follow, unless the job is not wanted any more."""
    if job.cancel_requested_at is not None:
        return Move(job.pk, job.attempt, State.CANCELLED, {"reason": job.cancel_reason or "Cancelled"})
    tries = job.tries + 1
    return Move(
        job.pk,
        job.attempt,
        State.QUEUED,
        {
            "next_find_at": None,
            "tries": tries,
            "next_submit_at": now + health.delay(tries),
            "reason": "Resubmitting",
            "message": "The site did not take the job; it is submitted again.",
        },
    )
