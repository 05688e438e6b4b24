"""Where a virtual node's pods go now: what `placement` decides on, read from the rows."""

from __future__ import annotations

from jobs.placement import Candidate, Placed, Waits, place
from sites import health
from sites.models import Route


def destination(node_id: int) -> Placed | Waits:
    """The site for this node's pods, or why they wait. One statement."""
    route = Route.objects.select_related("node", "site").filter(node_id=node_id).first()
    if route is None:
        return place([])
    if not route.node.enabled:
        message = f"The virtual node {route.node.slug} is disabled; the pod starts when it is enabled again."
        return Waits("NodeDisabled", message)
    site = route.site
    return place([Candidate(site.pk, site.name, enabled=site.enabled, silence=health.told(site))])
