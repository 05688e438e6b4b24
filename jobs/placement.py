"""Which site a pod goes to, or why none yet. Pure: everything it needs is passed in."""

from __future__ import annotations

from dataclasses import dataclass

SILENT = "SiteSilent"


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
            return Placed(candidate.site_id, SILENT if candidate.silence else "", candidate.silence)
    names = ", ".join(candidate.name for candidate in candidates)
    return Waits("SiteDraining", f"{names} takes no new work at the moment; the pod starts when it does again.")
