"""Which site a pod goes to, or why none yet. Pure: everything it needs is passed in."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Candidate:
    """A site a virtual node may send to, as far as placement cares."""

    site_id: int
    name: str
    enabled: bool


@dataclass(frozen=True)
class Placed:
    """The pod goes to this site."""

    site_id: int


@dataclass(frozen=True)
class Waits:
    """The pod is held; `reason` is one CamelCase word, `message` a sentence for its owner."""

    reason: str
    message: str


def place(candidates: list[Candidate]) -> Placed | Waits:
    """The first site that takes work. A silent site still does: its jobs wait in its queue, with that reason."""
    if not candidates:
        return Waits("NoRoute", "This virtual node has no route to a site yet; a federation operator can add one.")
    for candidate in candidates:
        if candidate.enabled:
            return Placed(candidate.site_id)
    names = ", ".join(candidate.name for candidate in candidates)
    return Waits("SiteDraining", f"{names} takes no new work at the moment; the pod starts when it does again.")
