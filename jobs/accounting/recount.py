"""Counting anew, from the rows, what allocations say is in use and spent. There should never be any drift."""

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
    """One counter of an allocation, as its row has it and as the rows of jobs and usage say it is."""

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
    """The drift of every allocation; repair: write down what was counted, in the trail too.

    Each is locked for as long as it is counted. A job that is being moved meanwhile is counted as before or as after
    its move, like its allocation's counters.
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
    """What the allocation's counted jobs hold of it, from their rows."""
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
    told = {names.get(name, f"{name} in use"): pair for name, pair in pairs.items()}
    told["CPU seconds spent"] = (allocation.spent_cpu_seconds, spent[0])
    told["GPU seconds spent"] = (allocation.spent_gpu_seconds, spent[1])
    whose = f"{allocation.tenant.slug} at {allocation.site.slug}"
    for name, (in_row, counted) in told.items():
        if in_row != counted:
            yield Drift(allocation.pk, whose, name, in_row, counted)
