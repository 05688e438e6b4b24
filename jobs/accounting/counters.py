"""The one writer of an allocation's counters: what its jobs hold of it, and what of its budget they have spent.

Rows are locked jobs first, then allocations in the order of their ids; never the other way round.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import orjson
from django.db import connection

from jobs.models import Job
from jobs.states import State
from sites import limits
from sites.models import Allocation

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from jobs.models import UsageRecord

_SPENT = """
    SELECT asked.id, coalesce(sum(usage.cpu_seconds), 0)::bigint, coalesce(sum(usage.gpu_seconds), 0)::bigint
    FROM unnest(%s::bigint[], %s::timestamptz[]) AS asked(id, began)
    LEFT JOIN jobs_usagerecord AS usage ON usage.allocation_id = asked.id AND usage.ended_at >= asked.began
    GROUP BY asked.id
"""
_COUNTERS = (
    "used_pods", "used_cpus", "used_memory", "used_gpus", "reserved_cpu_seconds", "reserved_gpu_seconds",
    "spent_cpu_seconds", "spent_gpu_seconds", "period_began",
)  # fmt: skip
_TYPES = {"used_pods": "integer", "used_gpus": "jsonb", "period_began": "timestamptz"}
_STORE = (
    "UPDATE hpc_sites_allocation AS allocation SET "  # noqa: S608  (names from this module, values as one parameter)
    + ", ".join(f"{name} = new.{name}" for name in _COUNTERS)
    + " FROM jsonb_to_recordset(%s::jsonb) AS new(id bigint, "
    + ", ".join(f"{name} {_TYPES.get(name, 'bigint')}" for name in _COUNTERS)
    + ") WHERE allocation.id = new.id"
)


@dataclass
class Change:
    """What a transaction changes of one allocation. frees: something became free that others may wait for."""

    figures: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    spent: list[tuple[datetime, int, int]] = field(default_factory=list)
    frees: bool = False


class Ledger:
    """The changes of one transaction, to be applied at once: few statements, however many jobs there are."""

    def __init__(self) -> None:
        self._changes: defaultdict[int, Change] = defaultdict(Change)

    def take(self, job: Job) -> None:
        """A job that has just been started: it is counted from now on."""
        if job.allocation_id is not None:
            self._add(job.allocation_id, held_by(job), 1)

    def release(self, job: Job) -> None:
        """Give back what the job holds. The caller makes its row say so too, once this is done."""
        if not job.is_counted or job.allocation_id is None:
            return
        self._add(job.allocation_id, held_by(job), -1)
        self._changes[job.allocation_id].frees = True

    def spend(self, record: UsageRecord, *, sign: int = 1) -> None:
        """Charge a usage record, or with sign -1 take the charge back."""
        if record.allocation_id is not None:
            amounts = (record.ended_at, sign * record.cpu_seconds, sign * record.gpu_seconds)
            self._changes[record.allocation_id].spent.append(amounts)

    def apply(self, *, now: datetime) -> set[int]:
        """Write it all down, before the usage records are inserted. The sites where something waits for what freed."""
        if not self._changes:
            return set()
        allocations = lock(self._changes)
        roll_over(allocations.values(), now=now)
        for pk, allocation in allocations.items():
            _apply(allocation, self._changes[pk])
        freed = [allocation for pk, allocation in allocations.items() if self._changes[pk].frees]
        store(allocations.values())
        woken = _awaited(freed)
        if woken:
            Allocation.objects.filter(pk__in=[each.pk for each in woken]).wake(now=now)
        return {each.site_id for each in woken}

    def _add(self, allocation_id: int, figures: Mapping[str, int], sign: int) -> None:
        for name, number in figures.items():
            self._changes[allocation_id].figures[name] += sign * number


def held_by(job: Job) -> limits.Figures:
    """What a job holds of its allocation while it is counted."""
    return limits.Ask(
        cpus=job.cpus,
        memory=job.memory,
        gpus={job.gpu_kind: job.gpus} if job.gpus else {},
        cpu_seconds=job.reserved_cpu_seconds,
        gpu_seconds=job.reserved_gpu_seconds,
    ).figures


def lock(ids: Iterable[int]) -> dict[int, Allocation]:
    """These allocations by id, locked until the transaction ends. Rows that refer to them can still be written."""
    rows = Allocation.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    return {allocation.pk: allocation for allocation in rows}


def roll_over(allocations: Iterable[Allocation], *, now: datetime) -> list[Allocation]:
    """Begin the budget's current period where that of the row is over; those changed, which the caller stores.

    What is spent in it is read from the usage records: a site's clock may be ahead of ours.
    """
    begins = {each.pk: limits.period(each, now=now)[0] for each in allocations}
    behind = [each for each in allocations if each.period_began != begins[each.pk]]
    if not behind:
        return []
    spent = spent_since({each.pk: begins[each.pk] for each in behind})
    for each in behind:
        each.period_began = begins[each.pk]
        each.spent_cpu_seconds, each.spent_gpu_seconds = spent[each.pk]
    return behind


def spent_since(begins: Mapping[int, datetime]) -> dict[int, tuple[int, int]]:
    """CPU and GPU seconds of each allocation's usage records that ended at or after its moment."""
    with connection.cursor() as cursor:
        cursor.execute(_SPENT, [list(begins), list(begins.values())])
        return {pk: (cpu, gpu) for pk, cpu, gpu in cursor.fetchall()}


def store(allocations: Iterable[Allocation]) -> None:
    """Write the counters of these rows in one statement."""
    rows: list[dict[str, Any]] = [
        {"id": each.pk, **{name: getattr(each, name) for name in _COUNTERS}} for each in allocations
    ]
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [orjson.dumps(rows).decode()])


def rewrite(allocation: Allocation, held: Mapping[str, int], spent: tuple[int, int]) -> None:
    """Put what was counted anew in place of the counters: what is held of it, CPU and GPU seconds spent."""
    _set_figures(allocation, held)
    allocation.spent_cpu_seconds, allocation.spent_gpu_seconds = spent
    store([allocation])


def _set_figures(allocation: Allocation, figures: Mapping[str, int]) -> None:
    """Put these figures in place of the row's counters. Not below zero, which the columns would not take."""
    known = {name: max(0, number) for name, number in figures.items()}
    allocation.used_pods = known.get("pods", 0)
    allocation.used_cpus = known.get("cpus", 0)
    allocation.used_memory = known.get("memory", 0)
    allocation.used_gpus = limits.gpus_in_use(known)
    allocation.reserved_cpu_seconds = known.get("cpu_seconds", 0)
    allocation.reserved_gpu_seconds = known.get("gpu_seconds", 0)


def figures(allocation: Allocation) -> limits.Figures:
    """The row's counters: in use, and of the budget what is reserved."""
    return {
        "pods": allocation.used_pods,
        "cpus": allocation.used_cpus,
        "memory": allocation.used_memory,
        **{f"gpus {kind}".rstrip(): number for kind, number in allocation.used_gpus.items()},
        "cpu_seconds": allocation.reserved_cpu_seconds,
        "gpu_seconds": allocation.reserved_gpu_seconds,
    }


def _apply(allocation: Allocation, change: Change) -> None:
    before = figures(allocation)
    names = {**before, **change.figures}
    _set_figures(allocation, {name: before.get(name, 0) + change.figures.get(name, 0) for name in names})
    for ended_at, cpu, gpu in change.spent:
        if allocation.period_began is not None and ended_at >= allocation.period_began:
            allocation.spent_cpu_seconds = max(0, allocation.spent_cpu_seconds + cpu)
            allocation.spent_gpu_seconds = max(0, allocation.spent_gpu_seconds + gpu)


def _awaited(allocations: list[Allocation]) -> list[Allocation]:
    """Those whose tenant has jobs that are held at their site."""
    if not allocations:
        return []
    sites, tenants = {each.site_id for each in allocations}, {each.tenant_id for each in allocations}
    held = Job.objects.filter(site__in=sites, tenant__in=tenants, state=State.HELD)
    waiting = set(held.order_by().values_list("tenant_id", "site_id").distinct())
    return [each for each in allocations if (each.tenant_id, each.site_id) in waiting]
