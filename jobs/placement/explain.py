"""What would become of a pod at each site, and why a held job waits: told live, by admission's own rules, unwritten."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from controlplane.tenants.models import Tenant
from jobs.placement import candidates, eligibility
from jobs.placement.eligibility import Wanted
from jobs.states import State
from sites import manifest
from sites.reasons import Reason, Waits

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jobs.models import Job
    from jobs.placement.candidates import Option

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
    """What `admission.submit` would do with this body, for every site at which the tenant has an allocation.

    Empty where it has none. Raises BadRequest, and Refused for a pod that can run nowhere, as `submit` does.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    pod = manifest.parse(manifest.completed(body, namespace=tenant.slug))
    return [_told(option) for option in candidates.options(tenant, pod, site=site_slug, now=now)]


def why_waits(job: Job, *, now: datetime) -> Waits | None:
    """Why a held job waits, as things stand now; None for a job that is not held.

    What only a worker's look at all held jobs can tell (that others go first) is told as it was written down.
    """
    if job.state != State.HELD:
        return None
    written = Waits(job.reason, job.message)
    if job.site is None:
        return written
    live = candidates.site_waits(job.site)
    live = live or eligibility.situation(job.tenant, job.site, now=now).judge(Wanted.of_job(job)).waits
    return live or (written if written.reason else Waits("", "A worker looks at it next."))


def _told(option: Option) -> SiteVerdict:
    verdict, wanted = option.verdict, option.wanted
    waits = option.waits
    slug, name = option.site.slug, option.site.name
    if verdict is None or wanted is None:
        return SiteVerdict(slug, name, "refused", reason=Reason.NOT_ALLOWED, message=option.refusal)
    if verdict.never:
        waits = verdict.waits
    short = verdict.short
    return SiteVerdict(
        slug,
        name,
        "refused" if verdict.never else "waits" if waits else "fits",
        reason=waits.reason if waits else "",
        message=waits.message if waits else "",
        limit=short.limit if short else None,
        used=short.used if short else None,
        asked=short.asked if short else None,
        allowed=short.allowed if short else None,
        frees_at=waits.until if waits else None,
        partition=verdict.partition,
        time_limit=verdict.time_limit,
        cpus=wanted.cpus,
        memory=wanted.memory,
        gpus=wanted.gpus,
        gpu_kind=wanted.gpu_kind,
        cpu_hours=verdict.ask.cpu_seconds / _HOUR,
        gpu_hours=verdict.ask.gpu_seconds / _HOUR,
    )
