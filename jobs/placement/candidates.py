"""The sites that a submitted pod could go to, and what would become of it at each. Nothing is locked or written."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.errors import Refused
from jobs.placement.eligibility import Situation, Wanted, settled
from jobs.placement.ranking import draining
from sites import health
from sites.models import Allocation
from sites.reasons import Reason, Waits

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.tenants.models import Tenant
    from jobs.placement.eligibility import Verdict
    from sites.manifest import PodRequest
    from sites.models import Site


@dataclass(frozen=True)
class Option:
    """A site and what would become of a pod there. wanted, verdict: None where it is refused, in words."""

    situation: Situation
    wanted: Wanted | None = None
    verdict: Verdict | None = None
    refusal: str = ""

    @property
    def site(self) -> Site:
        return self.situation.site

    @property
    def waits(self) -> Waits | None:
        """Why it would not start there at once, whoever is in its way."""
        return site_waits(self.site) or (self.verdict.waits if self.verdict else None)


def options(tenant: Tenant, pod: PodRequest, *, site: str | None, now: datetime) -> list[Option]:
    """The sites at which the tenant has an allocation, or the one with this slug, and what would become of the pod."""
    theirs = (
        Allocation.objects.filter(tenant=tenant)
        .select_related("site")
        .prefetch_related("site__partitions")
        .order_by("site__name")
    )
    if site is not None:
        theirs = theirs.filter(site__slug=site)
    return [_option(Situation(tenant, each.site, each, now, each.site.partitions.all()), pod) for each in theirs]


def _option(situation: Situation, pod: PodRequest) -> Option:
    try:
        wanted = Wanted.of(settled(pod, situation.site))
    except Refused as refusal:
        return Option(situation, refusal=refusal.message)
    verdict = situation.judge(wanted)
    if verdict.never and verdict.waits is not None:
        return Option(situation, wanted, verdict, refusal=verdict.waits.message)
    return Option(situation, wanted, verdict)


def site_waits(site: Site) -> Waits | None:
    """Why nothing starts at the site, whoever's it is."""
    if not site.enabled:
        return Waits(Reason.SITE_DRAINING, draining(site.name))
    silence = health.told(site)
    return Waits(Reason.SITE_SILENT, silence) if silence else None
