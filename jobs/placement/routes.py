"""Where a virtual node's pods go now: what `placement` decides on, read from the rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from controlplane import database
from controlplane.tenants.models import Tenant
from jobs.placement.ranking import Candidate, Placed, place
from sites import health
from sites.models import Allocation, Site
from sites.reasons import Reason, Waits

if TYPE_CHECKING:
    from collections.abc import Sequence

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
#: The columns of a `Way`, from SOURCES; where the node has no route, those of the site are NULL.
COLUMNS = ", ".join(
    ["node.slug", "node.enabled"]
    + [f"tenant.{name}" for name in _TENANT]
    + [f"site.{name}" for name in _SITE]
    + [f"allocation.{name}" for name in _ALLOCATION]
)
SOURCES = """
    tenants_virtualnode AS node
    JOIN tenants_tenant AS tenant ON tenant.id = node.tenant_id
    LEFT JOIN hpc_sites_route AS route ON route.node_id = node.id
    LEFT JOIN hpc_sites_site AS site ON site.id = route.site_id
    LEFT JOIN hpc_sites_allocation AS allocation
        ON allocation.tenant_id = node.tenant_id AND allocation.site_id = route.site_id
"""
_WAY = f"SELECT {COLUMNS} FROM {SOURCES} WHERE node.id = $1"  # noqa: S608  (names from this module)


class Way(NamedTuple):
    """A node's route, with what its tenant may use at its end. Of each row the columns that admission reads."""

    node_slug: str
    node_enabled: bool
    tenant: Tenant
    site: Site
    allocation: Allocation | None


def destination(node_id: int) -> Placed | Waits:
    """The site for this node's pods, or why they wait. One statement."""
    row = database.first(_WAY, [node_id])
    return decide(read_way(row) if row is not None else None)


def read_way(row: Sequence[Any]) -> Way | None:
    """From the values of COLUMNS; None where the node has no route."""
    slug, enabled, *rest = row
    tenant, site = rest[: len(_TENANT)], rest[len(_TENANT) : len(_TENANT) + len(_SITE)]
    allocation = rest[len(_TENANT) + len(_SITE) :]
    if site[0] is None:
        return None
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
        return Waits(Reason.NODE_DISABLED, message)
    site = way.site
    return place([Candidate(site.pk, site.name, enabled=site.enabled, silence=health.told(site))])


def _allocation(values: list[Any]) -> Allocation:
    """The cursor is a bare one: its JSON comes as text."""
    read = [orjson.loads(value) if name in _JSON else value for name, value in zip(_ALLOCATION, values, strict=True)]
    return Allocation.from_db("default", _ALLOCATION, read)
