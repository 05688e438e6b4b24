"""Reads where pods may go: the sites, and the allocation of their tenant at each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import orjson
from django.db.models import Model

from controlplane import database
from controlplane.tenants.models import Tenant
from jobs.placement.eligibility import Situation
from sites import health
from sites.models import Allocation, Site
from sites.reasons import Reason, Waits

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from jobs.models import Job

_Row = TypeVar("_Row", bound=Model)
_TENANT = ("id", "slug", "name", "enabled")
_SITE = ("id", "slug", "name", "config", "enabled", "silent_since", "silence")
# In the order in which the model declares them: `from_db` takes values by it.
_ALLOCATION = (
    "id", "tenant_id", "site_id", "enabled", "valid_from", "valid_until", "pods", "cpus", "memory", "gpus",
    "cpu_hours", "gpu_hours", "period", "default_time_limit", "priority", "partitions", "qos", "flavors",
    "used_pods", "used_cpus", "used_memory", "used_gpus", "reserved_cpu_seconds", "reserved_gpu_seconds",
    "spent_cpu_seconds", "spent_gpu_seconds", "period_began",
)  # fmt: skip
_JSON = frozenset({"config", "gpus", "used_gpus"})
# Written by hand: every create runs it, and the ORM would take several times as long to build it.
#: The columns that `read_routes` takes, from SOURCES; where the node has no route, those of the site are NULL.
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
_OF_NODE = f"SELECT {COLUMNS} FROM {SOURCES} WHERE node.id = $1"  # noqa: S608  (names from this module)

_NO_ROUTE = Waits(Reason.NO_ROUTE, "This virtual node has no route to a site yet; a federation operator can add one.")


class Routes(NamedTuple):
    """The sites that pods may go to, each with what their tenant may use there.

    closed: why no pod may go to any of them now; None while a site takes work.
    """

    situations: Sequence[Situation]
    closed: Waits | None = None


def of_node(node_id: int, *, now: datetime) -> Routes:
    """Where a virtual node sends its pods. Runs one statement."""
    row = database.first(_OF_NODE, [node_id])
    return read_routes(row, now=now) if row is not None else Routes([], _NO_ROUTE)


def read_routes(row: Sequence[Any], *, now: datetime) -> Routes:
    """Makes the routes of a virtual node from the values of COLUMNS."""
    slug, enabled, *rest = row
    tenant, site = rest[: len(_TENANT)], rest[len(_TENANT) : len(_TENANT) + len(_SITE)]
    allocation = rest[len(_TENANT) + len(_SITE) :]
    if site[0] is None:
        return Routes([], _NO_ROUTE)
    situation = Situation(
        _read(Tenant, _TENANT, tenant),
        _read(Site, _SITE, site),
        _read(Allocation, _ALLOCATION, allocation) if allocation[0] is not None else None,
        now,
    )
    if not enabled:
        message = f"The virtual node {slug} is disabled; the pod starts when it is enabled again."
        return Routes([situation], Waits(Reason.NODE_DISABLED, message))
    return Routes([situation], None if situation.site.enabled else health.drained(situation.site.name))


def of_tenant(tenant: Tenant, *, site_slug: str | None = None, now: datetime) -> Routes:
    """The sites at which the tenant has an allocation, or only the one with this slug. Runs two statements."""
    allocations = Allocation.objects.filter(tenant=tenant).select_related("site").prefetch_related("site__partitions")
    if site_slug is not None:
        allocations = allocations.filter(site__slug=site_slug)
    return Routes([Situation(tenant, each.site, each, now, each.site.partitions.all()) for each in allocations])


def of_job(job: Job, *, now: datetime) -> Routes:
    """The site of a job, if it has one. Runs two statements."""
    if job.site is None:
        return Routes([])
    allocation = Allocation.objects.filter(tenant=job.tenant_id, site=job.site).first()
    return Routes([Situation(job.tenant, job.site, allocation, now, list(job.site.partitions.all()))])


def _read(model: type[_Row], names: Sequence[str], values: Sequence[Any]) -> _Row:
    """Makes a row from the values of a bare cursor, which gives JSON as text."""
    read = [orjson.loads(value) if name in _JSON else value for name, value in zip(names, values, strict=True)]
    return model.from_db("default", names, read)
