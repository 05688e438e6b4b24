"""The only writer of a job's state, and of everything that must change with it in the same transaction.

It moves many jobs at once, since claims, submissions and polls come in hundreds. Losing a race is normal: a job that
another worker has moved meanwhile, or that has a new attempt, stays as it is and is not among the results.
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

#: What a move without a new state changes only while the job is held.
_OF_HELD = frozenset({"site_id", "demand"})
_STORED = (*sorted(Changes.__annotations__), "is_counted", "next_archive_at", "state", "status_first", "status_exact")
_TYPES = {field.attname: field.db_type(connection) for field in Job._meta.concrete_fields}
# At the end of a job its request is erased. `changed_at` is the time of writing, not that of the site's report, so that
# a client that follows the changes misses none.
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
    """One requested change of one job.

    attempt: the move applies only while this is the job's current attempt. to: the new state; None keeps the state.
    changes: other columns. report: the site's report behind the move, for the usage record at an end.
    """

    job_id: int
    attempt: int
    to: State | None = None
    changes: Changes = field(default_factory=Changes)
    report: Report | None = None


def demand_columns(demand: Demand) -> Changes:
    """The columns of a job that hold its demand, with the totals, which SQL adds up."""
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
    """Inserts a new job with its status texts and the first line of its history. The caller owns the transaction."""
    _render(job)
    job.changed_at = timezone.now()
    database.insert(job)
    first = Transition(job=job, at=job.created_at, new=job.state, attempt=job.attempt)
    first.reason, first.message = job.reason, job.message
    database.insert(first)


def move(moves: Iterable[Move], *, now: datetime) -> list[Job]:
    """Applies the moves that still apply, in one transaction, and returns the jobs that were moved.

    Each job gets its history, usage record, status texts and the counters of its allocation. A job with an
    `allocation_id` is counted from QUEUED on, until it is held again or ends. The number of statements is the same for
    one job and for many. A move that the table of states does not allow is logged and left out: it must not stop the
    others.
    """
    requested = {move.job_id: move for move in moves}
    if not requested:
        return []
    with transaction.atomic():
        # Always in the order of ids, so that two workers never wait for each other in a circle.
        rows = Job.objects.select_for_update().defer("request").filter(pk__in=requested).order_by("pk")
        moved: list[Job] = []
        history: list[Transition] = []
        usage: list[UsageRecord] = []
        ledger = Ledger()
        for job in rows:
            requested_move = requested[job.pk]
            old = State(job.state)
            if not _applies(job, old, requested_move):
                continue
            _change(job, requested_move, now=now)
            moved.append(job)
            if requested_move.to is not None:
                history.append(_line(job, old, now=now))
            if requested_move.to in ENDS and (record := records.usage(job, requested_move.report, now=now)):
                usage.append(record)
                ledger.spend(record)
            _count(job, old, requested_move, ledger)
        _store(moved)
        for site_id in ledger.apply(now=now):
            nudge.nudge("submit", site_id)
        Transition.objects.bulk_create(history)
        UsageRecord.objects.bulk_create(usage, ignore_conflicts=True)
    return moved


def move_all(jobs: QuerySet[Job], *, to: State | None = None, changes: Changes, now: datetime) -> list[int]:
    """Makes the same move for each of these jobs, BATCH_JOBS at a time. Returns the ids of the jobs that were moved."""
    # Sorted here: with ORDER BY and LIMIT, PostgreSQL would walk through a million ended jobs to find a few.
    rows = sorted(jobs.order_by().values_list("pk", "attempt"))
    moved: list[int] = []
    for start in range(0, len(rows), settings.BATCH_JOBS):
        moves = [Move(pk, attempt, to, changes) for pk, attempt in rows[start : start + settings.BATCH_JOBS]]
        moved += [job.pk for job in move(moves, now=now)]
    return moved


def change_quietly(jobs: QuerySet[Job], changes: QuietChanges) -> int:
    """Changes columns that no client sees: status texts and `changed_at` stay. Returns how many jobs there were."""
    return jobs.update(**changes)


def _applies(job: Job, old: State, requested: Move) -> bool:
    if job.attempt != requested.attempt:
        return False
    if requested.to is None:
        # Only a held job is placed and settled: a worker may have started it since it was read.
        return old is State.HELD or not ((old in ENDS and job.lost_at is None) or requested.changes.keys() & _OF_HELD)
    if requested.to == old:
        return False
    if requested.to not in MOVES[old]:
        if old not in ENDS:
            logger.error("illegal move", extra={"job": job.pk, "old": old, "new": requested.to})
        return False
    return True


def _change(job: Job, requested: Move, *, now: datetime) -> None:
    for name, value in requested.changes.items():
        setattr(job, name, value)
    if requested.to is not None:
        job.state = requested.to
    if requested.to in ENDS:
        job.ended_at = job.ended_at or now
        job.next_start_at = job.next_submit_at = job.next_find_at = job.next_cancel_at = None
        if job.attempt_key:
            job.next_archive_at = now
    _render(job)


def _count(job: Job, old: State, requested: Move, ledger: Ledger) -> None:
    if requested.to in {State.HELD, *ENDS}:
        ledger.release(job)
        job.is_counted = False
        job.reserved_cpu_seconds = job.reserved_gpu_seconds = 0
    elif old is State.HELD and requested.to is State.QUEUED and job.allocation_id is not None:
        job.is_counted = True
        ledger.take(job)
    if requested.to is State.HELD:  # it starts again, perhaps at another site
        job.allocation_id = job.demand = None


def _render(job: Job) -> None:
    texts = rendering.render_status(job)
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
    """Writes the changed rows in one statement.

    Not by `bulk_update`: its CASE for each row and column takes longer than the scheduler takes to accept the jobs.
    """
    if not jobs:
        return
    rows = [{"id": job.pk, **{name: getattr(job, name) for name in _STORED}} for job in jobs]
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [orjson.dumps(rows).decode()])
