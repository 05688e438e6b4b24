"""What an attempt cost, from the site's own start, end and allocation. Called inside the final move's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.models import UsageRecord

if TYPE_CHECKING:
    from datetime import datetime

    from jobs.models import Job
    from sites.workload import Report


def usage(job: Job, report: Report | None, *, now: datetime) -> UsageRecord | None:
    """The usage record of a job's current attempt, unsaved; None where no batch job ever was.

    cpu_seconds and gpu_seconds are wall-clock seconds times what was allocated (Slurm's CPUTimeRAW). Without the
    site's times, ours stand in and the record says so; a batch job that never started is recorded with none.
    """
    if not job.native_id or job.site_id is None:
        return None
    started = report.started_at if report else None
    ended = report.ended_at if report else None
    estimated = ended is None
    ended = ended or job.ended_at or now
    if estimated:
        started = started or job.started_at
    seconds = max(0, round((ended - started).total_seconds())) if started else 0
    cpus = _figure(report.cpus if report else None, job.cpus)
    gpus = _figure(report.gpus if report else None, job.gpus)
    return UsageRecord(
        job=job,
        tenant_id=job.tenant_id,
        node_id=job.node_id,
        site_id=job.site_id,
        attempt_key=job.attempt_key,
        native_id=job.native_id,
        pod=str(job),
        started_at=min(started, ended) if started else None,
        ended_at=ended,
        cpus=cpus,
        gpus=gpus,
        nodes=_figure(report.nodes if report else None, 1),
        cpu_seconds=seconds * cpus,
        gpu_seconds=seconds * gpus,
        outcome=job.state,
        estimated=estimated,
        recorded_at=now,
    )


def correct(job: Job, report: Report | None, *, now: datetime) -> None:
    """Put the site's figures in place of an estimate: the job had been given up, and was found after all."""
    record = usage(job, report, now=now)
    if record is not None:
        # Not an update: what the worker may do to usage is to write it and to forget it (prepare_database).
        UsageRecord.objects.filter(attempt_key=record.attempt_key).delete()
        record.save(force_insert=True)


def _figure(told: int | None, asked: int) -> int:
    return asked if told is None else told
