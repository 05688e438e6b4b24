"""Counts again, from the rows of jobs and usage, what allocations have in use and spent. It should find no drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.db import transaction
from django.db.models import Count, Sum

from controlplane.audit import trail
from jobs.accounting import counters
from jobs.models import Job
from sites import limits
from sites.models import Allocation

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import datetime


@dataclass(frozen=True)
class Drift:
    """A counter of an allocation that differs: its value in the row, and counted from the rows of jobs and usage."""

    allocation_id: int
    whose: str
    counter: str
    row: int
    counted: int

    def __str__(self) -> str:
        return (
            f"{self.whose}: {self.counter} is {self.row}, and counted from the rows it is {self.counted} "
            f"({self.counted - self.row:+})."
        )


def reconcile(*, repair: bool, now: datetime) -> list[Drift]:
    """Returns the drift of all allocations. repair: also writes the new counts, with an audit event.

    Each allocation is locked while it is counted. A job that is moved meanwhile is counted as before or after its move,
    and so are its allocation's counters.
    """
    found: list[Drift] = []
    for pk in Allocation.objects.order_by("pk").values_list("pk", flat=True):
        with transaction.atomic():
            for allocation in counters.lock([pk]).values():
                found += _reconcile(allocation, repair=repair, now=now)
    return found


def _reconcile(allocation: Allocation, *, repair: bool, now: datetime) -> list[Drift]:
    counters.roll_over([allocation], now=now)
    held = in_use(allocation.pk)
    began = allocation.period_began or now
    spent = counters.spent_since({allocation.pk: began})[allocation.pk]
    drift = [*_compare(allocation, held, spent)]
    if repair and drift:
        counters.rewrite(allocation, held, spent)
        Allocation.objects.filter(pk=allocation.pk).wake(now=now)
        trail.record(
            "allocation.recount",
            "allocation",
            allocation.pk,
            tenant_id=allocation.tenant_id,
            site=allocation.site.slug,
            changes={each.counter: [each.row, each.counted] for each in drift},
        )
    return drift


def in_use(allocation_id: int) -> limits.Figures:
    """What the allocation's counted jobs use of it, from their rows."""
    counted = Job.objects.filter(allocation_id=allocation_id, is_counted=True).order_by()
    sums = (Count("pk"), Sum("cpus"), Sum("memory"), Sum("gpus"), Sum("reserved_cpu_seconds"))
    found: limits.Figures = {}
    for kind, *row in counted.values_list("gpu_kind").annotate(*sums, Sum("reserved_gpu_seconds")):
        pods, cpus, memory, gpus, cpu_seconds, gpu_seconds = (int(number) for number in row)
        ask = limits.Ask(pods, cpus, memory, {kind: gpus} if gpus else {}, cpu_seconds, gpu_seconds)
        found = limits.plus(found, ask)
    return found


def _compare(allocation: Allocation, held: limits.Figures, spent: tuple[int, int]) -> Iterator[Drift]:
    row = counters.figures(allocation)
    pairs = {name: (row.get(name, 0), held.get(name, 0)) for name in {**row, **held}}
    names = {"cpu_seconds": "CPU seconds reserved", "gpu_seconds": "GPU seconds reserved"}
    compared = {names.get(name, f"{name} in use"): pair for name, pair in pairs.items()}
    compared["CPU seconds spent"] = (allocation.spent_cpu_seconds, spent[0])
    compared["GPU seconds spent"] = (allocation.spent_gpu_seconds, spent[1])
    whose = f"{allocation.tenant.slug} at {allocation.site.slug}"
    for name, (in_row, counted) in compared.items():
        if in_row != counted:
            yield Drift(allocation.pk, whose, name, in_row, counted)
