"""Decides whether a job may start at a site under its tenant's allocation there."""

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

# Only jobs that use some of the limit: a pod without GPUs frees none.
_RUNNING = """
    SELECT count(*), min(started_at + time_limit * interval '1 second') FROM jobs_job
    WHERE allocation_id = %(allocation)s AND state = 'running' AND is_counted
      AND (NOT %(gpus)s OR gpus > 0) AND (%(kind)s = '' OR gpu_kind = %(kind)s)
"""


@dataclass(frozen=True)
class Eligibility:
    """Whether a job may start at a site now, and why not.

    demand: what the job would start with. ask: what that takes of the allocation's limits. closed: why it may not
    start, however much of the limits is in use. short: the limit that is in its way. never: under the present limits it
    could not start even if nothing else were in use. goes_first: once it has waited for long, no other job may pass it.
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
    """A tenant at a site at one moment.

    used: what is in use of each limit, with what `grant` has added since. partitions: the site's; None means that they
    are read when a time limit or the default partition matters.
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

    def judge(self, demand: Demand) -> Eligibility:
        """Whether a job with this demand may start now. Runs at most one statement, for missing partitions."""
        if self.allocation is None:
            return Eligibility(demand, limits.ask_of(demand), closed=self._closed())
        verdict = self._judge(demand, self.allocation, self.partitions or ())
        if verdict.never and self.partitions is None:
            # The allocation's default time may be the only cause, and the partition may cut it. Try again with it.
            self.partitions = list(self.site.partitions.all())
            verdict = self._judge(demand, self.allocation, self.partitions)
        return verdict

    def why(self, verdict: Eligibility) -> Waits | None:
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
        """Adds what was granted since the allocation was read."""
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

    def _judge(self, demand: Demand, allocation: Allocation, partitions: Collection[Partition]) -> Eligibility:
        granted = policy.granted(demand, allocation, self.site, partitions)
        ask = limits.ask_of(granted)
        if stranger := policy.not_allowed(demand, allocation, tenant=self.tenant.name, site=self.site.name):
            return Eligibility(granted, ask, closed=Waits(Reason.NOT_ALLOWED, stranger), never=True)
        if short := limits.never_fits(self.allowed, ask):
            return Eligibility(granted, ask, short=short, never=True)
        if closed := self._closed():
            return Eligibility(granted, ask, closed=closed)
        if short := limits.shortfall(self.allowed, self.used, ask):
            return Eligibility(granted, ask, short=short, goes_first=self._fits_when_idle(ask, allocation))
        return Eligibility(granted, ask)

    def _closed(self) -> Waits | None:
        """Why this tenant may start nothing at the site; None where it may."""
        if not self.tenant.enabled:
            return Waits(Reason.TENANT_DISABLED, f"{self.tenant.name} is disabled; ask your federation operator.")
        return limits.not_valid(self.allocation, tenant=self.tenant.name, site=self.site.name, now=self.now)

    def _sentence(self, short: Short, *, frees: str = "") -> str:
        return limits.sentence(short, tenant=self.tenant.name, site=self.site.name, frees=frees)

    def _first_end(self, short: Short, allocation: Allocation) -> tuple[int, datetime | None]:
        """How many running jobs use some of this limit, and when the first of them reaches its time limit."""
        if short.limit in limits.BUDGET:
            return 0, None
        if short.limit not in self._running:
            name, _, kind = short.limit.partition(" ")
            with connection.cursor() as cursor:
                cursor.execute(_RUNNING, {"allocation": allocation.pk, "gpus": name == "gpus", "kind": kind})
                self._running[short.limit] = cursor.fetchone()
        return self._running[short.limit]

    def _fits_when_idle(self, ask: Ask, allocation: Allocation) -> bool:
        """Whether it would fit if nothing were running. The end of running jobs does not give back a spent budget."""
        used = limits.used(allocation, now=self.now)
        reserved = {"cpu_seconds": allocation.reserved_cpu_seconds, "gpu_seconds": allocation.reserved_gpu_seconds}
        spent = {name: used[name] - reserved[name] for name in reserved}
        return limits.shortfall(self.allowed, spent, ask) is None
