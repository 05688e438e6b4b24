"""Whether a pod may start at a site under its tenant's allocation there: the same answer for the wire, the API's
submissions, `explain` and the worker that starts what is held.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import connection

from sites import limits, manifest
from sites.limits import NOT_ALLOWED, QUOTA_EXCEEDED, TENANT_DISABLED, Ask, Short, Waits
from sites.models import Allocation, Flavor
from sites.policy import filled_in

if TYPE_CHECKING:
    from collections.abc import Collection
    from datetime import datetime

    from controlplane.tenants.models import Tenant
    from jobs.models import Changes, Job
    from sites.manifest import PodRequest
    from sites.models import Partition, Site

# Those that hold something of the limit: a pod without GPUs frees none.
_RUNNING = """
    SELECT count(*), min(started_at + time_limit * interval '1 second') FROM jobs_job
    WHERE allocation_id = %(allocation)s AND state = 'running' AND is_counted
      AND (NOT %(gpus)s OR gpus > 0) AND (%(kind)s = '' OR gpu_kind = %(kind)s)
"""


@dataclass(frozen=True)
class Wanted:
    """What a pod asks of a site, by the names of the job's columns. time_limit: seconds, None where it names none."""

    cpus: int
    memory: int
    gpus: int
    gpu_kind: str = ""
    flavor: str = ""
    partition: str = ""
    time_limit: int | None = None

    @classmethod
    def of_job(cls, job: Job) -> Wanted:
        return cls(
            cpus=job.cpus,
            memory=job.memory,
            gpus=job.gpus,
            gpu_kind=job.gpu_kind,
            flavor=job.flavor,
            partition=job.partition,
            time_limit=job.time_limit,
        )

    @classmethod
    def of(cls, pod: PodRequest) -> Wanted:
        """Of a pod as its flavor has filled it in. Raises Refused for what no site has."""
        asked = manifest.demand(pod)
        return cls(
            cpus=asked.cpus,
            memory=asked.memory,
            gpus=asked.gpus,
            gpu_kind=asked.gpu_kind,
            flavor=pod.flavor,
            partition=pod.flags.partition or "",
            time_limit=pod.time_limit,
        )

    @property
    def columns(self) -> dict[str, Any]:
        return dict(vars(self))


@dataclass(frozen=True)
class Verdict:
    """ask, time_limit (seconds), partition: what it would be started with. waits: why not now; None where it fits.

    short: the limit it is over, if one is in its way. never: it could not start even if nothing else were in use, as
    the limits stand. goes_first: once it has waited for long, nobody may pass it.
    """

    ask: Ask
    time_limit: int
    partition: str
    waits: Waits | None = None
    short: Short | None = None
    never: bool = False
    goes_first: bool = False

    @property
    def fits(self) -> bool:
        return self.waits is None


def settled(pod: PodRequest, site: Site) -> PodRequest:
    """The pod as its flavor at this site fills it in: at most one statement. Refused: no such flavor, or too large."""
    if not pod.flavor:
        return pod
    flavor = Flavor.objects.filter(site=site, name=pod.flavor).first()
    return filled_in(pod, flavor, site=site.name)


@dataclass
class Situation:
    """A tenant at a site at one moment. used grows with what is granted meanwhile.

    partitions: as the site told of them; without any their time limits are not looked at.
    """

    tenant: Tenant
    site: Site
    allocation: Allocation | None
    now: datetime
    partitions: Collection[Partition] = ()
    used: limits.Figures = field(default_factory=dict)
    allowed: limits.Figures = field(default_factory=dict)
    _running: dict[str, tuple[int, datetime | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.allocation is not None:
            self.used = limits.used(self.allocation, now=self.now)
            self.allowed = limits.allowed(self.allocation)

    @property
    def closed(self) -> Waits | None:
        """Why nothing at all starts."""
        if not self.tenant.enabled:
            return Waits(TENANT_DISABLED, f"{self.tenant.name} is disabled; ask your federation operator.")
        return limits.closed(self.allocation, tenant=self.tenant.name, site=self.site.name, now=self.now)

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

    def judge(self, wanted: Wanted) -> Verdict:
        """Whether it may start now; if not, why, and until when at most that is so."""
        if self.allocation is not None:
            return self._judged(wanted, self.allocation)
        time_limit = wanted.time_limit or 0
        return Verdict(_ask(wanted, time_limit), time_limit, wanted.partition, waits=self.closed)

    def _judged(self, wanted: Wanted, allocation: Allocation) -> Verdict:
        partition = wanted.partition or next(iter(allocation.partitions), "")
        time_limit = wanted.time_limit or self._default_time_limit(allocation, partition)
        ask = _ask(wanted, time_limit)
        found = Verdict(ask, time_limit, partition)
        if stranger := self._not_allowed(wanted, allocation):
            return replace(found, waits=Waits(NOT_ALLOWED, stranger), never=True)
        if short := limits.never_fits(self.allowed, ask):
            told = limits.sentence(short, tenant=self.tenant.name, site=self.site.name)
            return replace(found, waits=Waits(QUOTA_EXCEEDED, told), short=short, never=True)
        if closed := self.closed:
            return replace(found, waits=closed)
        if short := limits.shortfall(self.allowed, self.used, ask):
            waits = self._until_it_frees(short, allocation)
            return replace(found, waits=waits, short=short, goes_first=self._needs_no_budget(ask, allocation))
        return found

    def grant(self, ask: Ask) -> None:
        self.used = limits.plus(self.used, ask)

    def _default_time_limit(self, allocation: Allocation, partition: str) -> int:
        """No more than the partition gives: the scheduler would let a job with more wait for ever."""
        named = set(filter(None, partition.split(",")))
        known = [each.time_limit for each in self.partitions if (each.name in named if named else each.default)]
        longest = max((limit for limit in known if limit is not None), default=None)
        if longest is None or None in known:
            return allocation.default_time_limit
        return min(allocation.default_time_limit, longest)

    def _not_allowed(self, wanted: Wanted, allocation: Allocation) -> str:
        site, tenant = self.site.name, self.tenant.name
        if wanted.flavor and allocation.flavors and wanted.flavor not in allocation.flavors:
            allowed = ", ".join(allocation.flavors)
            return f"{tenant} may not use the flavor {wanted.flavor} at {site}; allowed are: {allowed}."
        strangers = set(filter(None, wanted.partition.split(","))) - set(allocation.partitions)
        if allocation.partitions and strangers:
            named, allowed = ", ".join(sorted(strangers)), ", ".join(allocation.partitions)
            return f"{tenant} may not use the partition {named} at {site}; allowed are: {allowed}."
        return ""

    def _until_it_frees(self, short: Short, allocation: Allocation) -> Waits:
        running, first_end = self._first_end(short, allocation)
        frees = limits.frees(short, allocation, running=running, first_end=first_end, now=self.now)
        told = limits.sentence(short, tenant=self.tenant.name, site=self.site.name, frees=frees)
        renews = limits.period(allocation, now=self.now)[1] if short.limit in limits.BUDGET else None
        return Waits(QUOTA_EXCEEDED, told, renews or first_end)

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
        """Whether it fits once all that runs has ended: a spent budget does not come back with that."""
        used = limits.used(allocation, now=self.now)
        reserved = {"cpu_seconds": allocation.reserved_cpu_seconds, "gpu_seconds": allocation.reserved_gpu_seconds}
        spent = {name: used[name] - reserved[name] for name in reserved}
        return limits.shortfall(self.allowed, spent, ask) is None


def situation(tenant: Tenant, site: Site, *, now: datetime) -> Situation:
    """As the rows say now, without a lock."""
    allocation = Allocation.objects.filter(tenant=tenant, site=site).first()
    return Situation(tenant, site, allocation, now, list(site.partitions.all()))


def look_again(waits: Waits, *, waited: timedelta, now: datetime) -> datetime:
    """When a held job is looked at next: after as long as it has waited, within bounds, or when its wait ends.

    What frees meanwhile is noticed anyway (Allocation.next_start_at).
    """
    shortest, longest = timedelta(seconds=settings.START_RETRY), timedelta(seconds=settings.RETRY_LONGEST)
    again = now + max(shortest, min(waited, longest))
    return min(again, waits.until) if waits.until is not None and waits.until > now else again


def _ask(wanted: Wanted, seconds: int) -> Ask:
    return limits.ask_of(
        cpus=wanted.cpus, memory=wanted.memory, gpus=wanted.gpus, gpu_kind=wanted.gpu_kind, seconds=seconds
    )
