"""Who may do what with sites and virtual nodes, where an action's reach alone does not say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controlplane.reach import Reach
    from sites.models import Site


def may_read_faults(reach: Reach, site: Site) -> bool:
    """What a call of ours said when it failed names hosts: only those who run the site, or the federation, read it."""
    return reach.everything or site.slug in reach.sites


def may_route_anywhere(reach: Reach) -> bool:
    """A tenant's nodes send to sites where it has an allocation; the federation may set a route before it has one."""
    return reach.everything
