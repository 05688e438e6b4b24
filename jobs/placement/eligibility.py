"""Whether a job may start at a site under its tenant's allocation there, by the same rules for all who ask."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.db import connection

from sites import limits, policy
from sites.reasons import Reason, Waits

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from controlplane.tenants.models import Tenant
    from jobs.models import Changes
    from sites.limits import Ask, Short
    from sites.models import Allocation, Partition, Site
    from sites.workload import Demand

# Those that hold something of the limit: a pod without GPUs frees none.
_RUNNING = """
    SELECT count(*), min(started_at + time_limit * interval '1 second') FROM jobs_job
    WHERE allocation_id = %(allocation)s AND state = 'running' AND is_counted
      AND (NOT %(gpus)s OR gpus > 0) AND (%(kind)s = '' OR gpu_kind = %(kind)s)
"""


@dataclass(frozen=True)
class Verdict:
    """demand: what the job would start with; ask: what that takes of the allocation's limits.

    closed: why it may not start, whatever is in use. short: the limit in its way. never: it could not start even if
    nothing else were in use, as the limits stand. goes_first: once it has waited for long, nobody may pass it.
    """

    demand: Demand
    ask: Ask
    closed: Waits | None = None
    short: Short | None = None
    never: bool = False
    goes_first: bool = False

    @property
    def fits(self) -> bool:
        return self.closed is None and self.short is None


@dataclass
class Situation:
    """A tenant at a site at one moment. used grows with what is granted meanwhile.

    partitions: as the site told of them; None: asked for once their time limits or their default could matter.
    """

    tenant: Tenant
    site: Site
    allocation: Allocation | None
    now: datetime
    partitions: Collection[Partition] | None = None
    used: limits.Figures = field(default_factory=dict)
    allowed: limits.Figures = field(default_factory=dict)
    _running: dict[str, tuple[int, datetime | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.allocation is not None:
            self.used = limits.used(self.allocation, now=self.now)
            self.allowed = limits.allowed(self.allocation)

    def judge(self, demand: Demand) -> Verdict:
        """Whether a job of this demand may start now. At most one statement, for partitions that were not given."""
        if self.allocation is None:
            return Verdict(demand, limits.ask_of(demand), closed=self._closed())
        verdict = self._judge(demand, self.allocation, self.partitions or ())
        if verdict.never and self.partitions is None:
            # Perhaps by the allocation's default time alone, of which the partition gives less.
            self.partitions = list(self.site.partitions.all())
            verdict = self._judge(demand, self.allocation, self.partitions)
        return verdict

    def why(self, verdict: Verdict) -> Waits | None:
        """What keeps a job from starting, in a sentence, and until when at most; None where it fits.

        At most one statement for each limit, on who holds what of it.
        """
        short, allocation = verdict.short, self.allocation
        if short is None or allocation is None or verdict.closed is not None:
            return verdict.closed
        if verdict.never:
            return Waits(Reason.QUOTA_EXCEEDED, self._sentence(short))
        running, first_end = self._first_end(short, allocation)
        frees = limits.frees(short, allocation, running=running, first_end=first_end, now=self.now)
        renews = limits.period(allocation, now=self.now)[1] if short.limit in limits.BUDGET else None
        return Waits(Reason.QUOTA_EXCEEDED, self._sentence(short, frees=frees), renews or first_end)

    def grant(self, ask: Ask) -> None:
        """Count what has been granted since the allocation was read."""
        self.used = limits.plus(self.used, ask)

    @property
    def terms(self) -> Changes:
        """The columns of a job that starts under this allocation."""
        if self.allocation is None:
            return {}
        return {
            "allocation_id": self.allocation.pk,
            "account": self.allocation.local_account,
            "priority": self.allocation.priority,
        }

    def _judge(self, demand: Demand, allocation: Allocation, partitions: Collection[Partition]) -> Verdict:
        granted = policy.granted(demand, allocation, self.site, partitions)
        ask = limits.ask_of(granted)
        if stranger := policy.not_allowed(demand, allocation, tenant=self.tenant.name, site=self.site.name):
            return Verdict(granted, ask, closed=Waits(Reason.NOT_ALLOWED, stranger), never=True)
        if short := limits.never_fits(self.allowed, ask):
            return Verdict(granted, ask, short=short, never=True)
        if closed := self._closed():
            return Verdict(granted, ask, closed=closed)
        if short := limits.shortfall(self.allowed, self.used, ask):
            return Verdict(granted, ask, short=short, goes_first=self._needs_no_budget(ask, allocation))
        return Verdict(granted, ask)

    def _closed(self) -> Waits | None:
        """Why nothing at all starts for this tenant here."""
        if not self.tenant.enabled:
            return Waits(Reason.TENANT_DISABLED, f"{self.tenant.name} is disabled; ask your federation operator.")
        return limits.not_valid(self.allocation, tenant=self.tenant.name, site=self.site.name, now=self.now)

    def _sentence(self, short: Short, *, frees: str = "") -> str:
        return limits.sentence(short, tenant=self.tenant.name, site=self.site.name, frees=frees)

    def _first_end(self, short: Short, allocation: Allocation) -> tuple[int, datetime | None]:
        """How many jobs run that hold something of this limit, and when the first reaches its time limit."""
        if short.limit in limits.BUDGET:
            return 0, None
        if short.limit not in self._running:
            name, _, kind = short.limit.partition(" ")
            with connection.cursor() as cursor:
                cursor.execute(_RUNNING, {"allocation": allocation.pk, "gpus": name == "gpus", "kind": kind})
                self._running[short.limit] = cursor.fetchone()
        return self._running[short.limit]

    def _needs_no_budget(self, ask: Ask, allocation: Allocation) -> bool:
        """Whether it would fit if nothing were running: a spent budget does not come back with that."""
        used = limits.used(allocation, now=self.now)
        reserved = {"cpu_seconds": allocation.reserved_cpu_seconds, "gpu_seconds": allocation.reserved_gpu_seconds}
        spent = {name: used[name] - reserved[name] for name in reserved}
        return limits.shortfall(self.allowed, spent, ask) is None
