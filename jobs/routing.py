"""Where a virtual node's pods go now: what `placement` decides on, read from the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.placement import Candidate, Placed, Waits, place
from sites import health
from sites.models import Route

if TYPE_CHECKING:
    from sites.models import Site


def destination(node_id: int) -> Placed | Waits:
    """The site for this node's pods, or why they wait. One statement."""
    return decide(route_of(node_id))


def route_of(node_id: int) -> Route | None:
    """The node's route with its site, node and tenant. One statement."""
    return Route.objects.select_related("node__tenant", "site").filter(node_id=node_id).first()


def decide(route: Route | None) -> Placed | Waits:
    if route is None:
        return place([])
    if not route.node.enabled:
        message = f"The virtual node {route.node.slug} is disabled; the pod starts when it is enabled again."
        return Waits("NodeDisabled", message)
    return place([candidate(route.site)])


def candidate(site: Site) -> Candidate:
    return Candidate(site.pk, site.name, enabled=site.enabled, silence=health.told(site))
