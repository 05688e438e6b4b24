"""The only writer of an allocation's counters: what its jobs use now, and how much of its budget they have spent.

Jobs are locked before allocations, and allocations in the order of their ids, so that no two transactions deadlock.
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
    """What a transaction changes of one allocation.

    figures: limit -> change of use. spent: (end, CPU seconds, GPU seconds) of each charge. frees: whether something
    became free that held jobs may wait for.
    """

    figures: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    spent: list[tuple[datetime, int, int]] = field(default_factory=list)
    frees: bool = False


class Ledger:
    """Collects the changes of one transaction and applies them together, in few statements for many jobs."""

    def __init__(self) -> None:
        self._changes: defaultdict[int, Change] = defaultdict(Change)

    def take(self, job: Job) -> None:
        """Counts a job that has just been started."""
        if job.allocation_id is not None:
            self._add(job.allocation_id, held_by(job), 1)

    def release(self, job: Job) -> None:
        """Gives back what the job uses. The caller clears the job's own columns afterwards."""
        if not job.is_counted or job.allocation_id is None:
            return
        self._add(job.allocation_id, held_by(job), -1)
        self._changes[job.allocation_id].frees = True

    def spend(self, record: UsageRecord, *, sign: int = 1) -> None:
        """Charges a usage record; with sign -1 takes the charge back."""
        if record.allocation_id is not None:
            amounts = (record.ended_at, sign * record.cpu_seconds, sign * record.gpu_seconds)
            self._changes[record.allocation_id].spent.append(amounts)

    def apply(self, *, now: datetime) -> set[int]:
        """Writes the counters. Returns the ids of sites where held jobs may start now.

        Must be called before the usage records are inserted, which a new budget period would count a second time.
        """
        if not self._changes:
            return set()
        allocations = lock(self._changes)
        roll_over(allocations.values(), now=now)
        for pk, allocation in allocations.items():
            _apply(allocation, self._changes[pk])
        freed = [allocation for pk, allocation in allocations.items() if self._changes[pk].frees]
        store_counters(allocations.values())
        woken = _awaited(freed)
        if woken:
            Allocation.objects.filter(pk__in=[each.pk for each in woken]).wake(now=now)
        return {each.site_id for each in woken}

    def _add(self, allocation_id: int, figures: Mapping[str, int], sign: int) -> None:
        for name, number in figures.items():
            self._changes[allocation_id].figures[name] += sign * number


def held_by(job: Job) -> limits.Figures:
    """What a job uses of its allocation while it is counted."""
    return limits.Ask(
        cpus=job.cpus,
        memory=job.memory,
        gpus={job.gpu_kind: job.gpus} if job.gpus else {},
        cpu_seconds=job.reserved_cpu_seconds,
        gpu_seconds=job.reserved_gpu_seconds,
    ).figures


def lock(ids: Iterable[int]) -> dict[int, Allocation]:
    """Locks these allocations until the transaction ends: id -> row. Rows that refer to them can still be written."""
    rows = Allocation.objects.select_for_update(no_key=True).filter(pk__in=ids).order_by("pk")
    return {allocation.pk: allocation for allocation in rows}


def roll_over(allocations: Iterable[Allocation], *, now: datetime) -> list[Allocation]:
    """Begins the budget's current period where that of the row is over. Returns the changed rows, unsaved.

    What is spent in the new period comes from the usage records: a site's clock may be ahead of ours.
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
    """Allocation id -> CPU and GPU seconds of its usage records that ended at `begins[id]` or later."""
    with connection.cursor() as cursor:
        cursor.execute(_SPENT, [list(begins), list(begins.values())])
        return {pk: (cpu, gpu) for pk, cpu, gpu in cursor.fetchall()}


def store_counters(allocations: Iterable[Allocation]) -> None:
    """Writes the counters of these rows in one statement."""
    rows: list[dict[str, Any]] = [
        {"id": each.pk, **{name: getattr(each, name) for name in _COUNTERS}} for each in allocations
    ]
    with connection.cursor() as cursor:
        cursor.execute(_STORE, [orjson.dumps(rows).decode()])


def rewrite(allocation: Allocation, held: Mapping[str, int], spent: tuple[int, int]) -> None:
    """Replaces the counters by new counts. held: what is in use; spent: CPU and GPU seconds."""
    _set_figures(allocation, held)
    allocation.spent_cpu_seconds, allocation.spent_gpu_seconds = spent
    store_counters([allocation])


def _set_figures(allocation: Allocation, figures: Mapping[str, int]) -> None:
    """Replaces the row's counters. A negative figure counts as 0, since the columns take none."""
    known = {name: max(0, number) for name, number in figures.items()}
    allocation.used_pods = known.get("pods", 0)
    allocation.used_cpus = known.get("cpus", 0)
    allocation.used_memory = known.get("memory", 0)
    allocation.used_gpus = limits.gpus_in_use(known)
    allocation.reserved_cpu_seconds = known.get("cpu_seconds", 0)
    allocation.reserved_gpu_seconds = known.get("gpu_seconds", 0)


def figures(allocation: Allocation) -> limits.Figures:
    """The row's counters: what is in use, and what is reserved of the budget."""
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
    """The allocations whose tenant has held jobs at their site."""
    if not allocations:
        return []
    sites, tenants = {each.site_id for each in allocations}, {each.tenant_id for each in allocations}
    held = Job.objects.filter(site__in=sites, tenant__in=tenants, state=State.HELD)
    waiting = set(held.order_by().values_list("tenant_id", "site_id").distinct())
    return [each for each in allocations if (each.tenant_id, each.site_id) in waiting]
