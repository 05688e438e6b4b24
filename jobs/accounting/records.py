"""What an attempt cost, from the site's own start, end and allocation. Called inside the final move's transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.accounting.counters import Ledger
from jobs.models import UsageRecord

if TYPE_CHECKING:
    from collections.abc import Iterable
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
    demand = job.demand or {}  # none of a job that an earlier release started
    cpus = _figure(report.cpus if report else None, job.cpus)
    gpus = _figure(report.gpus if report else None, job.gpus)
    return UsageRecord(
        job=job,
        tenant_id=job.tenant_id,
        node_id=job.node_id,
        person_id=job.person_id,
        service_id=job.service_id,
        allocation_id=job.allocation_id,
        site_id=job.site_id,
        attempt_key=job.attempt_key,
        native_id=job.native_id,
        pod=str(job),
        started_at=min(started, ended) if started else None,
        ended_at=ended,
        cpus=cpus,
        gpus=gpus,
        gpu_kind=job.gpu_kind,
        nodes=_figure(report.nodes if report else None, demand.get("nodes", 1)),
        memory=job.memory,
        partition=job.partition,
        qos=demand.get("qos", ""),
        account=job.account,
        owner_issuer=job.owner_issuer,
        owner_subject=job.owner_subject,
        submitted_at=job.submitted_at,
        cpu_seconds=seconds * cpus,
        gpu_seconds=seconds * gpus,
        outcome=job.state,
        estimated=estimated,
        recorded_at=now,
    )


def correct(ended: Iterable[tuple[Job, Report | None]], *, now: datetime) -> None:
    """Put the site's figures in place of estimates: these jobs had been given up, and were found after all."""
    records = [record for job, report in ended if (record := usage(job, report, now=now))]
    estimates = UsageRecord.objects.filter(attempt_key__in=[record.attempt_key for record in records])
    ledger = Ledger()
    for estimate in estimates:
        ledger.spend(estimate, sign=-1)
    for record in records:
        ledger.spend(record)
    ledger.apply(now=now)
    # Not an update: what the worker may do to usage is to write it and to forget it (prepare_database).
    estimates.all().delete()
    UsageRecord.objects.bulk_create(records)


def _figure(told: int | None, asked: int) -> int:
    return asked if told is None else told
