"""The one writer of a job's state, and of everything that must change with it in the same transaction.

Many jobs at once, always: claims, submissions and polls come in hundreds. Losing a race is normal: a job that somebody
else moved meanwhile, or whose attempt is no longer the one meant, is left alone and not in the answer.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson
from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from controlplane import database
from jobs import nudge, rendering
from jobs.accounting import records
from jobs.accounting.counters import Ledger
from jobs.models import Changes, Job, Transition, UsageRecord
from jobs.states import ENDS, MOVES, State

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from django.db.models import QuerySet

    from jobs.models import QuietChanges
    from sites.workload import Demand, Report

logger = logging.getLogger(__name__)

_STORED = (*sorted(Changes.__annotations__), "is_counted", "next_archive_at", "state", "status_first", "status_exact")
_TYPES = {field.attname: field.db_type(connection) for field in Job._meta.concrete_fields}
# At an end, what the pod brought along is erased. The moment is that of writing, not that of the news: whoever follows
# the changes must miss none.
_STORE = (
    "UPDATE jobs_job AS job SET "  # noqa: S608  (names from the model, values as one parameter)
    + ", ".join(f"{name} = new.{name}" for name in _STORED)
    + ", changed_at = clock_timestamp(), request = CASE WHEN new.state IN ("
    + ", ".join(f"'{end}'" for end in sorted(ENDS))
    + ") THEN NULL ELSE job.request END FROM jsonb_to_recordset(%s::jsonb) AS new(id bigint, "
    + ", ".join(f"{name} {_TYPES[name]}" for name in _STORED)
    + ") WHERE job.id = new.id"
)


@dataclass(frozen=True)
class Move:
    """One wished change of one job.

    to: the new state; None leaves it and changes only what is said of the job. attempt: the attempt this news is about;
    it applies to no other. report: the site's news behind it, for usage at an end.
    """

    job_id: int
    attempt: int
    to: State | None = None
    changes: Changes = field(default_factory=Changes)
    report: Report | None = None


def demand_columns(demand: Demand) -> Changes:
    """The columns of a job that a demand fills, its totals with it: SQL adds those up."""
    return {
        "demand": demand.as_json(),
        "cpus": demand.cpus,
        "memory": demand.memory,
        "gpus": demand.gpus,
        "gpu_kind": demand.gpu_kind,
        "flavor": demand.flavor,
        "partition": demand.partition,
        "time_limit": demand.time_limit,
    }


def create(job: Job) -> None:
    """Insert a new job with its texts and the first line of its history. The caller owns the transaction."""
    _render(job)
    job.changed_at = timezone.now()
    database.insert(job)
    first = Transition(job=job, at=job.created_at, new=job.state, attempt=job.attempt)
    first.reason, first.message = job.reason, job.message
    database.insert(first)


def move(moves: Iterable[Move], *, now: datetime) -> list[Job]:
    """Apply what still applies, each job with its history, usage, texts and allocation in one transaction; those jobs.

    A job is counted from HELD to QUEUED on, if `allocation_id` says against what, and no more once it is held again or
    over. The statements are as many as for one job: three, one each for histories and usage, a few for allocations. An
    illegal move is logged and left out: it must not stop the others.
    """
    wished = {move.job_id: move for move in moves}
    if not wished:
        return []
    with transaction.atomic():
        # Always in the order of ids, so that two workers that overlap never wait for each other in a circle.
        rows = Job.objects.select_for_update().defer("request").filter(pk__in=wished).order_by("pk")
        moved: list[Job] = []
        history: list[Transition] = []
        usage: list[UsageRecord] = []
        ledger = Ledger()
        for job in rows:
            wish = wished[job.pk]
            old = State(job.state)
            if not _applies(job, old, wish):
                continue
            _change(job, wish, now=now)
            moved.append(job)
            if wish.to is not None:
                history.append(_line(job, old, now=now))
            if wish.to in ENDS and (record := records.usage(job, wish.report, now=now)):
                usage.append(record)
                ledger.spend(record)
            _count(job, old, wish, ledger)
        _store(moved)
        for site_id in ledger.apply(now=now):
            nudge.nudge("submit", site_id)
        Transition.objects.bulk_create(history)
        UsageRecord.objects.bulk_create(usage, ignore_conflicts=True)
    return moved


def move_all(jobs: QuerySet[Job], *, to: State | None = None, changes: Changes, now: datetime) -> list[int]:
    """The same move for each of these jobs, a bounded batch at a time and each job once; the ids of those moved."""
    # Sorted here: asked for a few rows in the order of ids, PostgreSQL would walk a million ended jobs to find them.
    rows = sorted(jobs.order_by().values_list("pk", "attempt"))
    moved: list[int] = []
    for start in range(0, len(rows), settings.BATCH_JOBS):
        moves = [Move(pk, attempt, to, changes) for pk, attempt in rows[start : start + settings.BATCH_JOBS]]
        moved += [job.pk for job in move(moves, now=now)]
    return moved


def change_quietly(jobs: QuerySet[Job], changes: QuietChanges) -> int:
    """Change what nobody is told of, so that neither the jobs' texts nor `changed_at` follow. How many there were."""
    return jobs.update(**changes)


def _applies(job: Job, old: State, wish: Move) -> bool:
    if job.attempt != wish.attempt:
        return False
    if wish.to is None:
        return old not in ENDS or job.lost_at is not None
    if wish.to == old:
        return False
    if wish.to not in MOVES[old]:
        if old not in ENDS:
            logger.error("illegal move", extra={"job": job.pk, "old": old, "new": wish.to})
        return False
    return True


def _change(job: Job, wish: Move, *, now: datetime) -> None:
    for name, value in wish.changes.items():
        setattr(job, name, value)
    if wish.to is not None:
        job.state = wish.to
    if wish.to in ENDS:
        job.ended_at = job.ended_at or now
        job.next_start_at = job.next_submit_at = job.next_find_at = job.next_cancel_at = None
        if job.attempt_key:
            job.next_archive_at = now
    _render(job)


def _count(job: Job, old: State, wish: Move, ledger: Ledger) -> None:
    if wish.to in {State.HELD, *ENDS}:
        ledger.release(job)
        job.is_counted = False
        job.reserved_cpu_seconds = job.reserved_gpu_seconds = 0
    elif old is State.HELD and wish.to is State.QUEUED and job.allocation_id is not None:
        job.is_counted = True
        ledger.take(job)
    if wish.to is State.HELD:  # it starts anew, perhaps elsewhere
        job.allocation_id = job.demand = None


def _render(job: Job) -> None:
    texts = rendering.render(job)
    job.status_first, job.status_exact = texts.first, texts.exact


def _line(job: Job, old: State, *, now: datetime) -> Transition:
    return Transition(
        job=job,
        at=now,
        old=old,
        new=job.state,
        attempt=job.attempt,
        native_id=job.native_id,
        reason=job.reason,
        message=job.message,
    )


def _store(jobs: Sequence[Job]) -> None:
    """Write the changed rows in one statement.

    Not `bulk_update`: its CASE per row and column takes longer than the scheduler takes to accept the jobs.
    """
    if not jobs:
        return
    rows = [{"id": job.pk, **{name: getattr(job, name) for name in _STORED}} for job in jobs]
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [orjson.dumps(rows).decode()])
