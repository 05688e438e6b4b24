"""Explains where a pod could run, and why a held job waits, by the rules of admission. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

from controlplane.tenants.models import Tenant
from jobs.placement import ranking, routes
from jobs.states import State
from sites import manifest
from sites.reasons import Waits
from sites.workload import Demand

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jobs.models import Job
    from jobs.placement.ranking import Candidate

_HOUR = 3600


@dataclass(frozen=True)
class SiteVerdict:
    """What would happen to the pod at one site.

    verdict: it would start now (fits), be held (waits) or be refused; reason and message say why. limit: the name of
    the limit that is in its way (`sites.limits`), None where there is none. used, asked and allowed: of that limit,
    memory in bytes and budgets in seconds. frees_at: when the wait ends by itself, if that is known. memory: bytes.
    time_limit: seconds. cpu_hours, gpu_hours: what would be reserved of the budget.
    """

    site: str
    site_name: str
    verdict: Literal["fits", "waits", "refused"]
    reason: str = ""
    message: str = ""
    limit: str | None = None
    used: int | None = None
    asked: int | None = None
    allowed: int | None = None
    frees_at: datetime | None = None
    partition: str = ""
    time_limit: int | None = None
    cpus: int | None = None
    memory: int | None = None
    gpus: int | None = None
    gpu_kind: str = ""
    cpu_hours: float | None = None
    gpu_hours: float | None = None


def explain(
    body: Mapping[str, Any], *, tenant_id: int, site_slug: str | None = None, now: datetime
) -> list[SiteVerdict]:
    """What `admission.submit_pod` would do with this body at each site where the tenant has an allocation, by name.

    The list is empty where the tenant has no allocation. Raises BadRequest, and Refused for a pod that can run nowhere.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    pod = manifest.parse(manifest.completed(body, namespace=tenant.slug))
    candidates = ranking.rank(pod, routes.of_tenant(tenant, site_slug=site_slug, now=now).situations)
    return [_site_verdict(each) for each in sorted(candidates, key=lambda each: each.site.name)]


def why_waits(job: Job, *, now: datetime) -> Waits | None:
    """Why a held job waits now; None for a job that is not held.

    That other jobs go first is known only to the worker that looks at all held jobs: then it is the reason that the
    worker has written.
    """
    if job.state != State.HELD:
        return None
    written = Waits(job.reason, job.message)
    if job.site is None or job.demand is None:
        return written
    [candidate] = ranking.rank(Demand.from_json(job.demand), routes.of_job(job, now=now).situations)
    return candidate.why or (written if written.reason else Waits("", "A worker looks at it next."))


def _site_verdict(candidate: Candidate) -> SiteVerdict:
    eligibility, why = candidate.eligibility, candidate.why
    verdict = SiteVerdict(
        candidate.site.slug,
        candidate.site.name,
        candidate.outcome,
        reason=why.reason if why else "",
        message=why.message if why else "",
        frees_at=why.until if why else None,
    )
    if eligibility is None:
        return verdict
    short, demand = eligibility.short, eligibility.demand
    return replace(
        verdict,
        limit=short.limit if short else None,
        used=short.used if short else None,
        asked=short.requested if short else None,
        allowed=short.allowed if short else None,
        partition=demand.partition,
        time_limit=demand.time_limit,
        cpus=demand.cpus,
        memory=demand.memory,
        gpus=demand.gpus,
        gpu_kind=demand.gpu_kind,
        cpu_hours=eligibility.ask.cpu_seconds / _HOUR,
        gpu_hours=eligibility.ask.gpu_seconds / _HOUR,
    )
