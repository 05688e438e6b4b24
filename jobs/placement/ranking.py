"""Ranks the sites that a pod could go to, the best one first. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from controlplane.errors import Refused
from sites import health, policy
from sites.models import Flavor
from sites.reasons import Reason, Waits
from sites.workload import Demand

if TYPE_CHECKING:
    from collections.abc import Sequence

    from jobs.placement.eligibility import Eligibility, Situation
    from sites.manifest import PodRequest
    from sites.models import Site


@dataclass(frozen=True)
class Candidate:
    """One site that a pod could go to, and whether it fits there.

    closed: why the site accepts no jobs, for any tenant. demand: what the pod asks for there. eligibility: None where
    the site does not have the pod's flavor, or the flavor does not allow what the pod asks for. refusal: why the pod
    can never run there, as a sentence; otherwise empty.
    """

    situation: Situation
    closed: Waits | None
    demand: Demand
    eligibility: Eligibility | None
    refusal: str = ""

    @property
    def site(self) -> Site:
        return self.situation.site

    @property
    def outcome(self) -> Literal["fits", "waits", "refused"]:
        if self.refusal:
            return "refused"
        return "fits" if self.closed is None and self.eligibility is not None and self.eligibility.fits else "waits"

    @cached_property
    def why(self) -> Waits | None:
        """Why the pod would not start there now; None where it fits."""
        if self.eligibility is None:
            return Waits(Reason.NOT_ALLOWED, self.refusal)
        own = self.situation.why(self.eligibility)
        return own if self.eligibility.never else self.closed or own

    @property
    def order(self) -> tuple[bool, bool, bool, bool, int, str]:
        """The sort key: the smallest is the best site."""
        allocation, eligibility = self.situation.allocation, self.eligibility
        return (
            bool(self.refusal),
            not self.site.enabled,
            eligibility is None or not eligibility.fits,
            self.closed is not None,
            -(allocation.priority if allocation else 0),
            self.site.name,
        )


def rank(pod: PodRequest | Demand, situations: Sequence[Situation]) -> list[Candidate]:
    """All sites, the best first: those that take the pod and start it now, then by priority and name.

    pod: a pod, whose flavor is applied at each site, since flavors differ per site; or its demand, if it is settled
    already. Raises Refused for a pod that no site can run.
    """
    own = pod if isinstance(pod, Demand) else policy.requested(pod)
    return sorted((_candidate(pod, own, situation) for situation in situations), key=lambda each: each.order)


def best(candidates: Sequence[Candidate]) -> Candidate:
    """The best of at least one candidate. Raises Refused, with every site's reason, where no site can run the pod."""
    if not candidates[0].refusal:
        return candidates[0]
    by_name = sorted(candidates, key=lambda each: each.site.name)
    reasons = " ".join(dict.fromkeys(each.refusal for each in by_name))
    raise Refused(reasons if len(candidates) == 1 else f"No site can take the pod. {reasons}")


def _candidate(pod: PodRequest | Demand, own: Demand, situation: Situation) -> Candidate:
    closed = health.closed(situation.site)
    try:
        demand = own if isinstance(pod, Demand) or not pod.flavor else _flavored(pod, situation.site)
    except Refused as refusal:
        return Candidate(situation, closed, own, None, refusal=refusal.message)
    eligibility = situation.judge(demand)
    why = situation.why(eligibility) if eligibility.never else None
    return Candidate(situation, closed, demand, eligibility, refusal=why.message if why else "")


def _flavored(pod: PodRequest, site: Site) -> Demand:
    """What the pod asks for with its flavor at this site. Runs one statement. Raises Refused where it cannot be."""
    flavor = Flavor.objects.filter(site=site, name=pod.flavor).first()
    if flavor is None:
        raise Refused(f"{site.name} has no flavor {pod.flavor}: choose one of those that it offers.")
    return policy.requested(pod, flavor)
