"""Where a virtual node's pods go now: what `placement` decides on, read from the rows."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson
from django.db import connection

from controlplane.tenants.models import Tenant
from jobs.placement import Candidate, Placed, Waits, place
from sites import health
from sites.models import Allocation, Site

_TENANT = ("id", "slug", "name", "enabled")
_SITE = ("id", "slug", "name", "enabled", "silent_since", "silence")
_ALLOCATION = (
    "id", "tenant_id", "site_id", "enabled", "valid_from", "valid_until", "pods", "cpus", "memory", "gpus",
    "cpu_hours", "gpu_hours", "period", "default_time_limit", "partitions", "flavors", "used_pods", "used_cpus",
    "used_memory", "used_gpus", "reserved_cpu_seconds", "reserved_gpu_seconds", "spent_cpu_seconds",
    "spent_gpu_seconds", "period_began",
)  # fmt: skip
_JSON = frozenset({"gpus", "used_gpus"})
# By hand: every create asks it, and the ORM would take several times as long to phrase it.
_ROUTE = (
    "SELECT node.slug, node.enabled, "  # noqa: S608  (names from this module)
    + ", ".join([f"tenant.{name}" for name in _TENANT] + [f"site.{name}" for name in _SITE])
    + ", "
    + ", ".join(f"allocation.{name}" for name in _ALLOCATION)
    + """
    FROM hpc_sites_route AS route
    JOIN hpc_sites_site AS site ON site.id = route.site_id
    JOIN tenants_virtualnode AS node ON node.id = route.node_id
    JOIN tenants_tenant AS tenant ON tenant.id = node.tenant_id
    LEFT JOIN hpc_sites_allocation AS allocation
        ON allocation.tenant_id = node.tenant_id AND allocation.site_id = route.site_id
    WHERE route.node_id = %s
"""
)


class Way(NamedTuple):
    """A node's route, with what its tenant may use at its end. Of each row the columns that admission reads."""

    node_slug: str
    node_enabled: bool
    tenant: Tenant
    site: Site
    allocation: Allocation | None


def destination(node_id: int) -> Placed | Waits:
    """The site for this node's pods, or why they wait. One statement."""
    return decide(way_of(node_id))


def way_of(node_id: int) -> Way | None:
    """One statement."""
    with connection.cursor() as cursor:
        cursor.execute(_ROUTE, [node_id])
        row = cursor.fetchone()
    if row is None:
        return None
    slug, enabled, *rest = row
    tenant, site = rest[: len(_TENANT)], rest[len(_TENANT) : len(_TENANT) + len(_SITE)]
    allocation = rest[len(_TENANT) + len(_SITE) :]
    return Way(
        slug,
        enabled,
        Tenant.from_db("default", _TENANT, tenant),
        Site.from_db("default", _SITE, site),
        _allocation(allocation) if allocation[0] is not None else None,
    )


def decide(way: Way | None) -> Placed | Waits:
    if way is None:
        return place([])
    if not way.node_enabled:
        message = f"The virtual node {way.node_slug} is disabled; the pod starts when it is enabled again."
        return Waits("NodeDisabled", message)
    site = way.site
    return place([Candidate(site.pk, site.name, enabled=site.enabled, silence=health.told(site))])


def _allocation(values: list[Any]) -> Allocation:
    """The cursor is a bare one: its JSON comes as text."""
    read = [orjson.loads(value) if name in _JSON else value for name, value in zip(_ALLOCATION, values, strict=True)]
    return Allocation.from_db("default", _ALLOCATION, read)
