"""Creates and changes virtual nodes and their routes: the site that a node's pods go to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction

from controlplane.audit import trail
from controlplane.errors import Invalid
from controlplane.tenants import administration
from controlplane.tenants.models import VirtualNode
from sites.models import Allocation, Route, Site
from sites.permissions import may_route_anywhere

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.reach import Reach
    from controlplane.tenants.models import Tenant


def create_node(tenant: Tenant, *, site: Site, **fields: Any) -> VirtualNode:
    """Create a virtual node that sends its pods to `site`. Raises Conflict if any tenant's node has this slug."""
    message = f"There is already a virtual node {fields['slug']}: choose another slug."
    with transaction.atomic():
        with administration.unless_there(message):
            node = VirtualNode.objects.create(tenant=tenant, **fields)
        Route.objects.create(node=node, site=site)
        administration.created("node", node, tenant_id=tenant.pk, changes={"site": site.slug})
    return node


def change_node(node: VirtualNode, values: Mapping[str, Any], *, site: Site | None = None) -> VirtualNode:
    """Set these columns, and route the node's new pods to `site` if one is given. Returns the changed row."""
    with transaction.atomic():
        changed = administration.change_row("node", node, values, tenant_id=node.tenant_id)
        if site is not None:
            _reroute(changed, site)
    return VirtualNode.objects.select_related("tenant", "route__site").get(pk=node.pk)


def site_for(tenant: Tenant, slug: str, reach: Reach) -> Site:
    """Return the site of this slug, if this caller may route the tenant's nodes to it.

    Raises Invalid otherwise. To a caller without the federation's rights, the message is the same whether the site does
    not exist or the tenant has no allocation there.
    """
    sites, anywhere = Site.objects.filter(slug=slug), may_route_anywhere(reach)
    if not anywhere:
        sites = sites.filter(pk__in=Allocation.objects.filter(tenant=tenant, enabled=True).values("site"))
    found = sites.first()
    if found is None:
        message = f"{tenant.slug} has no allocation at a site {slug}: ask for one first, or choose another site."
        raise Invalid({"site": f"There is no site {slug}." if anywhere else message})
    return found


def _reroute(node: VirtualNode, site: Site) -> None:
    route = Route.objects.select_for_update(of=("self",)).select_related("site").filter(node=node).first()
    before = route.site.slug if route else None
    if before == site.slug:
        return
    Route.objects.update_or_create(node=node, defaults={"site": site})
    trail.record(
        "node.route", "node", node.pk, tenant_id=node.tenant_id, site=site.slug, changes={"site": [before, site.slug]}
    )
