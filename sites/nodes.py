"""Virtual nodes with their routes: which site a node's pods go to."""

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
    """A new virtual node that sends its pods to `site`. Raises Conflict where its slug is taken, by whomever."""
    sentence = f"There is a virtual node {fields['slug']} already: choose another slug."
    with transaction.atomic():
        with administration.unless_there(sentence):
            node = VirtualNode.objects.create(tenant=tenant, **fields)
        Route.objects.create(node=node, site=site)
        administration.created("node", node, tenant_id=tenant.pk, changes={"site": site.slug})
    return node


def change_node(node: VirtualNode, values: Mapping[str, Any], *, site: Site | None = None) -> VirtualNode:
    """Set `values`, and send what is created from now on to `site`."""
    with transaction.atomic():
        changed = administration.change_row("node", node, values, tenant_id=node.tenant_id)
        if site is not None:
            _reroute(changed, site)
    return VirtualNode.objects.select_related("tenant", "route__site").get(pk=node.pk)


def site_for(tenant: Tenant, slug: str, reach: Reach) -> Site:
    """The site of this slug, if a caller of this reach may let the tenant's nodes send there.

    Raises Invalid otherwise, which does not tell a site that is not there from one that is closed to the tenant.
    """
    sites, anywhere = Site.objects.filter(slug=slug), may_route_anywhere(reach)
    if not anywhere:
        sites = sites.filter(pk__in=Allocation.objects.filter(tenant=tenant, enabled=True).values("site"))
    found = sites.first()
    if found is None:
        sentence = f"{tenant.slug} has no allocation at a site {slug}: ask for one first, or choose another site."
        raise Invalid({"site": f"There is no site {slug}." if anywhere else sentence})
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
