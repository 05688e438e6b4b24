"""Permissions for sites and virtual nodes that do not follow from an action's reach alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from controlplane.reach import Reach
    from sites.models import Site


def may_read_faults(reach: Reach, site: Site) -> bool:
    """Whether a caller may read why calls to the site failed: its operators and the federation may. It names hosts."""
    return reach.everything or site.slug in reach.sites


def may_route_anywhere(reach: Reach) -> bool:
    """Whether a caller may route a tenant's nodes to a site where the tenant has no allocation: only the federation."""
    return reach.everything
