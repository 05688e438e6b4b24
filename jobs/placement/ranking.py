"""The sites that a pod could go to, the best one first, with what would become of it at each. Nothing is written."""

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

    from jobs.placement.eligibility import Situation, Verdict
    from sites.manifest import PodRequest
    from sites.models import Site


@dataclass(frozen=True)
class Answer:
    """What would become of a pod at one site.

    closed: why nothing starts there, for any tenant. demand: what the pod asks for there. verdict: None where the site
    does not have its flavor, or the flavor does not allow what it asks for. refusal: why it can never run there, in a
    sentence, else empty.
    """

    situation: Situation
    closed: Waits | None
    demand: Demand
    verdict: Verdict | None
    refusal: str = ""

    @property
    def site(self) -> Site:
        return self.situation.site

    @property
    def outcome(self) -> Literal["fits", "waits", "refused"]:
        if self.refusal:
            return "refused"
        return "fits" if self.closed is None and self.verdict is not None and self.verdict.fits else "waits"

    @cached_property
    def why(self) -> Waits | None:
        """Why it would not start there now; None where it fits."""
        if self.verdict is None:
            return Waits(Reason.NOT_ALLOWED, self.refusal)
        own = self.situation.why(self.verdict)
        return own if self.verdict.never else self.closed or own

    @property
    def order(self) -> tuple[bool, bool, bool, bool, int, str]:
        """Less is better."""
        allocation, verdict = self.situation.allocation, self.verdict
        return (
            bool(self.refusal),
            not self.site.enabled,
            verdict is None or not verdict.fits,
            self.closed is not None,
            -(allocation.priority if allocation else 0),
            self.site.name,
        )


def rank(pod: PodRequest | Demand, situations: Sequence[Situation]) -> list[Answer]:
    """The best site first: one that takes work and starts it now, then one that answers, then by priority and name.

    pod: read anew for each site, since flavors differ per site; or what it asks for, where that is settled already.
    Raises Refused for what no site has.
    """
    own = pod if isinstance(pod, Demand) else policy.requested(pod)
    return sorted((_answer(pod, own, situation) for situation in situations), key=lambda answer: answer.order)


def best(answers: Sequence[Answer]) -> Answer:
    """The first of at least one. Raises Refused, with every site's reason, where none can ever run the pod."""
    if not answers[0].refusal:
        return answers[0]
    reasons = " ".join(dict.fromkeys(answer.refusal for answer in sorted(answers, key=lambda each: each.site.name)))
    raise Refused(reasons if len(answers) == 1 else f"No site can take the pod. {reasons}")


def _answer(pod: PodRequest | Demand, own: Demand, situation: Situation) -> Answer:
    closed = health.closed(situation.site)
    try:
        demand = own if isinstance(pod, Demand) or not pod.flavor else _flavored(pod, situation.site)
    except Refused as refusal:
        return Answer(situation, closed, own, None, refusal=refusal.message)
    verdict = situation.judge(demand)
    why = situation.why(verdict) if verdict.never else None
    return Answer(situation, closed, demand, verdict, refusal=why.message if why else "")


def _flavored(pod: PodRequest, site: Site) -> Demand:
    """What the pod asks for with its flavor at this site. One statement. Raises Refused."""
    flavor = Flavor.objects.filter(site=site, name=pod.flavor).first()
    if flavor is None:
        raise Refused(f"{site.name} has no flavor {pod.flavor}: choose one of those that it offers.")
    return policy.requested(pod, flavor)
