"""The queries for sites, allocations and virtual nodes that the API, the pages and exports share.

`wanted` holds filters by their names in the API; a row must match all of them. Functions that return one row raise
NotFound if the caller cannot see it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import OuterRef, Prefetch, Subquery
from django.db.models.functions import Collate

from controlplane.tenants.models import Tenant, VirtualNode
from controlplane.tenants.queries import with_tenant_slug
from sites.models import Allocation, Flavor, Partition, Site

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.reach import Reach, Reached

#: The same order on every server, whatever the locale of its database.
_BY_NAME = Collate("name", "C")


def sites(reach: Reach) -> Reached[Site]:
    """Return sites with their partitions and flavors, without the columns that only connectors need."""
    described = (
        Prefetch("partitions", Partition.objects.order_by(_BY_NAME)),
        Prefetch("flavors", Flavor.objects.order_by(_BY_NAME)),
    )
    return Site.objects.within(reach).defer("config", "credential").prefetch_related(*described)


def site(reach: Reach, slug: str) -> Site:
    return sites(reach).one(f"There is no site {slug} here.", slug=slug)


def site_anywhere(slug: str) -> Site | None:
    """Return the site of this slug, or None, whether or not the caller can see it."""
    return Site.objects.one_or_none(slug=slug)


def allocations(reach: Reach, wanted: Mapping[str, Any]) -> Reached[Allocation]:
    """Return allocations with their site, `tenant_slug` and `tenant_name`, in one statement. wanted: tenant, site."""
    lookups = {"tenant": "tenant__slug", "site": "site__slug"}
    name = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("name")[:1]
    rows = with_tenant_slug(Allocation.objects.within(reach).matching(wanted, lookups))
    rows = rows.select_related("site").defer("site__config", "site__credential")
    return rows.annotate(tenant_name=Subquery(name))


def allocation(reach: Reach, pk: int) -> Allocation:
    return allocations(reach, {}).one(f"There is no allocation {pk} here.", pk=pk)


def virtual_nodes(reach: Reach, wanted: Mapping[str, Any]) -> Reached[VirtualNode]:
    """Return virtual nodes with their tenants and the sites that they send to. wanted: tenant (its slug)."""
    rows = VirtualNode.objects.within(reach).matching(wanted, {"tenant": "tenant__slug"})
    return rows.select_related("tenant", "route__site")


def virtual_node(reach: Reach, slug: str) -> VirtualNode:
    return virtual_nodes(reach, {}).one(f"There is no virtual node {slug} here.", slug=slug)
