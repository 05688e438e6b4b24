"""Giving a site its due pods, a batch in one call.

The attempt and its random key are committed before any I/O (`claiming`); what nobody heard the end of is settled by
`recovery`. So a crash anywhere leaves at most one batch job of a pod.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from django.utils import timezone

from jobs import attempts, lifecycle
from jobs.claiming import claim
from jobs.packing import pack
from jobs.silence import speaking_to
from sites.connectors.base import InDoubt, Rejected, Unreachable

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from datetime import datetime

    from jobs.models import Job
    from jobs.packing import Batch
    from sites.connectors.base import Submitted
    from sites.models import Site

logger = logging.getLogger(__name__)


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
        doubts = [attempts.doubted(job, silence.message, now=timezone.now()) for job in batch.workloads]
        lifecycle.move(doubts, now=timezone.now())
        raise
    record(batch.workloads, answers, now=timezone.now())
    return True


def record(jobs: Collection[Job], answers: Mapping[str, Submitted], *, now: datetime) -> None:
    """Write down what the site said of these submissions; a key it did not mention is in doubt."""
    moves = [_move(job, answers.get(job.attempt_key, InDoubt()), now=now) for job in jobs]
    moved = lifecycle.move(moves, now=now)
    logger.info("submitted", extra={"jobs": len(moves), "moved": len(moved)})


def _move(job: Job, answer: Submitted, *, now: datetime) -> lifecycle.Move:
    match answer:
        case str():
            return attempts.started(job, answer, now=now)
        case Rejected():
            return attempts.refused(job, answer)
        case InDoubt():
            return attempts.doubted(job, answer.message, now=now)


def _set_aside(batch: Batch, *, now: datetime) -> None:
    """End the pods that can never run, and put back those that this call cannot carry."""
    moves = [attempts.failed(*unfit) for unfit in batch.unfit]
    moves += [attempts.put_back(job, now=now) for job in batch.left]
    lifecycle.move(moves, now=now)
