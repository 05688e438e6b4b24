"""What would become of a pod at each site, and why a held job waits: told live, by admission's own rules, unwritten."""

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
    from jobs.placement.ranking import Answer

_HOUR = 3600


@dataclass(frozen=True)
class SiteVerdict:
    """One site. verdict: it would start now, it would be held, or it would be refused; reason and message say why.

    limit: the limit in its way by the name of `sites.limits`, with what is used of it, asked and allowed (memory in
    bytes, the budget in seconds), None where no limit is. frees_at: when that ends by itself, as far as it is known.
    memory: bytes; time_limit: seconds; cpu_hours, gpu_hours: what would be reserved of the budget.
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
    """What `admission.submit` would do with this body, for every site at which the tenant has an allocation, by name.

    Empty where it has none. Raises BadRequest, and Refused for a pod that can run nowhere, as `submit` does.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    pod = manifest.parse(manifest.completed(body, namespace=tenant.slug))
    answers = ranking.rank(pod, routes.of_tenant(tenant, site_slug=site_slug, now=now).situations)
    return [_told(answer) for answer in sorted(answers, key=lambda each: each.site.name)]


def why_waits(job: Job, *, now: datetime) -> Waits | None:
    """Why a held job waits, as things stand now; None for a job that is not held.

    What only a worker's look at all held jobs can tell (that others go first) is told as it was written down.
    """
    if job.state != State.HELD:
        return None
    written = Waits(job.reason, job.message)
    if job.site is None or job.demand is None:
        return written
    [answer] = ranking.rank(Demand.from_json(job.demand), routes.of_job(job, now=now).situations)
    return answer.why or (written if written.reason else Waits("", "A worker looks at it next."))


def _told(answer: Answer) -> SiteVerdict:
    verdict, why = answer.verdict, answer.why
    told = SiteVerdict(
        answer.site.slug,
        answer.site.name,
        answer.outcome,
        reason=why.reason if why else "",
        message=why.message if why else "",
        frees_at=why.until if why else None,
    )
    if verdict is None:
        return told
    short, demand = verdict.short, verdict.demand
    return replace(
        told,
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
        cpu_hours=verdict.ask.cpu_seconds / _HOUR,
        gpu_hours=verdict.ask.gpu_seconds / _HOUR,
    )
