"""Makes the usage record of an attempt, from the site's own start, end and allocation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.accounting.counters import Ledger
from jobs.models import UsageRecord

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from jobs.models import Job
    from sites.workload import Report


#: Columns of a job that its usage record keeps as they are.
_COPIED = (
    "tenant_id", "node_id", "person_id", "service_id", "allocation_id", "site_id", "attempt_key", "native_id",
    "gpu_kind", "memory", "partition", "account", "owner_issuer", "owner_subject", "submitted_at",
)  # fmt: skip


def usage(job: Job, report: Report | None, *, now: datetime) -> UsageRecord | None:
    """The usage record of a job's current attempt, unsaved; None where there was no batch job.

    cpu_seconds and gpu_seconds are wall-clock seconds times what was allocated (Slurm's CPUTimeRAW). Where the site
    reports no times, ours are used and `estimated` is set. A batch job that never started has no start and no seconds.
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
    demand = job.demand or {}  # a job that an earlier release started has none
    cpus = _figure(report.cpus if report else None, job.cpus)
    gpus = _figure(report.gpus if report else None, job.gpus)
    return UsageRecord(
        job=job,
        **{name: getattr(job, name) for name in _COPIED},
        pod=str(job),
        started_at=min(started, ended) if started else None,
        ended_at=ended,
        cpus=cpus,
        gpus=gpus,
        nodes=_figure(report.nodes if report else None, demand.get("nodes", 1)),
        qos=demand.get("qos", ""),
        cpu_seconds=seconds * cpus,
        gpu_seconds=seconds * gpus,
        outcome=job.state,
        estimated=estimated,
        recorded_at=now,
    )


def correct(ended: Iterable[tuple[Job, Report | None]], *, now: datetime) -> None:
    """Replaces the estimated usage of lost jobs that were found by the site's figures."""
    records = [record for job, report in ended if (record := usage(job, report, now=now))]
    estimates = UsageRecord.objects.filter(attempt_key__in=[record.attempt_key for record in records])
    ledger = Ledger()
    for estimate in estimates:
        ledger.spend(estimate, sign=-1)
    for record in records:
        ledger.spend(record)
    ledger.apply(now=now)
    # Not an update: the worker's database role may only insert and delete usage records (prepare_database).
    estimates.all().delete()
    UsageRecord.objects.bulk_create(records)


def _figure(reported: int | None, requested: int) -> int:
    return requested if reported is None else reported
