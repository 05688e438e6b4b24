"""Which site a pod goes to, or why none yet. Pure: everything it needs is passed in."""

from __future__ import annotations

from dataclasses import dataclass

from sites.reasons import Reason, Waits


@dataclass(frozen=True)
class Candidate:
    """A site that a virtual node may send to. silence: since when and why it is silent, empty if it answers."""

    site_id: int
    name: str
    enabled: bool
    silence: str = ""


@dataclass(frozen=True)
class Placed:
    """The pod goes to this site; reason and message say why it will wait there, where that is known already."""

    site_id: int
    reason: str = ""
    message: str = ""


def place(candidates: list[Candidate]) -> Placed | Waits:
    """The first site that takes work. A silent site still does: its jobs wait in its queue, with that reason."""
    if not candidates:
        return Waits(
            Reason.NO_ROUTE, "This virtual node has no route to a site yet; a federation operator can add one."
        )
    for candidate in candidates:
        if candidate.enabled:
            return Placed(candidate.site_id, Reason.SITE_SILENT if candidate.silence else "", candidate.silence)
    names = ", ".join(candidate.name for candidate in candidates)
    return Waits(Reason.SITE_DRAINING, draining(names))


def draining(names: str) -> str:
    return f"{names} takes no new work at the moment; the pod starts when it does again."


@dataclass(frozen=True)
class Choice:
    """A site that a submitted pod could go to. fits: it would start there now; priority: of the tenant's allocation."""

    site_id: int
    name: str
    fits: bool
    answers: bool
    takes_work: bool
    priority: int = 0

    @property
    def order(self) -> tuple[bool, bool, bool, int, str]:
        return (not self.takes_work, not self.fits, not self.answers, -self.priority, self.name)


def choose(choices: list[Choice]) -> Choice:
    """The best of at least one: where it takes work and starts now, then where the site answers, then by priority."""
    return min(choices, key=lambda choice: choice.order)
