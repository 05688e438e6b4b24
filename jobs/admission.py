"""Admission: stores a pod as a job, once, held until a worker starts it, with the reason why it waits.

It calls no site and locks no allocation. It refuses at once what could never fit the tenant's allocation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from django.db import transaction

from controlplane import database
from controlplane.audit import trail
from controlplane.auth.callers import PersonCaller, ServiceCaller
from controlplane.errors import Forbidden, Refused
from controlplane.tenants.models import Person, Tenant
from jobs import cancellation, lifecycle, nudge, payload
from jobs.models import Job, new_key
from jobs.placement import ranking, routes
from jobs.states import State
from sites import manifest, policy

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from controlplane.auth.callers import NodeCaller
    from jobs.placement.routes import Routes
    from sites.manifest import PodRequest
    from sites.models import Site
    from sites.reasons import Waits
    from sites.workload import Demand

# All that a create has to know, in one statement: the pod's job if it has one, whether the pod was deleted before it
# arrived, the node's clock and its route.
_LOOK = f"""
    SELECT (SELECT id FROM jobs_job WHERE node_id = $1 AND pod_uid = $2),
           EXISTS (SELECT FROM jobs_tombstone WHERE node_id = $1 AND pod_uid = $2),
           node.heard_minutes, {routes.COLUMNS}
    FROM {routes.SOURCES} WHERE node.id = $1
"""  # noqa: S608  (names from our own modules)


class Settled(NamedTuple):
    """demand: what the job asks for. site: where it goes; None for now. waits: why it waits, where that is known."""

    demand: Demand
    site: Site | None
    waits: Waits | None


def admit(caller: NodeCaller, pod: PodRequest, body: Mapping[str, Any], *, now: datetime) -> Job:
    """Returns the job of this pod: a new one, or the one that an earlier create of the same node and UID made.

    body: what `pod` was parsed from. A pod that was deleted before it arrived gets a job that ends at once. Raises
    Refused where the pod could never run at the site of its node, and Forbidden where the node is no longer there.
    """
    with transaction.atomic(savepoint=False):  # usually inside the caller's transaction, which sees the tenant
        cancellation.one_at_a_time(caller.node_id, pod.uid)
        row = database.first(_LOOK, [caller.node_id, pod.uid])
        if row is None:
            raise Forbidden(f"The virtual node {caller.slug} is no longer there.")
        known, is_deleted, heard_minutes, *route = row
        if known is not None:
            return Job.objects.only("key").get(pk=known)
        settled = _settle(pod, routes.read_routes(route, now=now))
        # From `heard_minutes` on the orphan sweep counts, in minutes of the node's clock.
        sender = {"node_id": caller.node_id, "polled_minute": heard_minutes}
        job = _new_job(pod, body, settled, tenant_id=caller.tenant_id, now=now, **sender)
        insert_job(job, verb="job.create")
        if is_deleted:
            cancellation.delete_pod(caller, pod.uid, now=now)
    return job


def submit_pod(
    caller: PersonCaller | ServiceCaller,
    body: Mapping[str, Any],
    *,
    tenant_id: int,
    site_slug: str | None = None,
    now: datetime,
) -> Job:
    """Makes a new job of this tenant at the best of its sites, for a caller without a cluster.

    body: {"pod", "configmaps", "secrets"}; a missing uid, name or namespace is filled in. site_slug: the only site
    that is considered. Raises BadRequest, and Refused where the pod could start at no site.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    full = manifest.completed(body, namespace=tenant.slug)
    pod = manifest.parse(full)
    candidates = ranking.rank(pod, routes.of_tenant(tenant, site_slug=site_slug, now=now).situations)
    if not candidates:
        where = f"at {site_slug}" if site_slug else "at any site"
        raise Refused(f"{tenant.name} has no allocation {where}; a manager of {tenant.name} can ask for one.")
    best = ranking.best(candidates)
    sender: dict[str, Any] = {"service_id": caller.service_id}
    if isinstance(caller, PersonCaller):
        person = Person.objects.get(pk=caller.person_id)
        sender = {"person": person, "owner_issuer": person.issuer, "owner_subject": person.subject}
    settled = Settled(best.demand, best.site, best.why)
    job = _new_job(pod, full, settled, tenant_id=tenant.pk, now=now, **sender)
    with transaction.atomic():
        insert_job(job, verb="job.submit")
    return job


def insert_job(job: Job, *, verb: str) -> None:
    """Inserts a new job with its audit event, and nudges a worker. The caller owns the transaction.

    verb: the event's verb in the audit trail.
    """
    lifecycle.create(job)
    pod = {"pod": str(job), "uid": str(job.pod_uid)}
    site = job.site.slug if job.site else ""
    trail.record(verb, "job", job.key, tenant_id=job.tenant_id, site=site, changes=pod)
    if job.site_id is not None:
        nudge.nudge("submit", job.site_id)


def _settle(pod: PodRequest, found: Routes) -> Settled:
    """What a pod asks for at the best site of its node, or with no site for now. Raises Refused where none can run it.

    Whether the allocation has room now, the worker decides that looks at the job next.
    """
    if found.closed is not None:
        return Settled(policy.asked(pod), None, found.closed)
    best = ranking.best(ranking.rank(pod, found.situations))
    return Settled(best.demand, best.site, best.closed)


def _new_job(
    pod: PodRequest, body: Mapping[str, Any], settled: Settled, *, tenant_id: int, now: datetime, **sender: Any
) -> Job:
    """A new job, not saved. sender: the columns that say who sent it."""
    key = new_key()
    demand, site, waits = settled
    return Job(
        tenant_id=tenant_id,
        key=key,
        pod_uid=pod.uid,
        pod_name=pod.name,
        pod_namespace=pod.namespace,
        request=payload.seal_request(body, tenant_id=tenant_id, key=key),
        containers=[
            {"name": each.name, "image": each.image, "init": is_init}
            for is_init, containers in ((True, pod.init_containers), (False, pod.containers))
            for each in containers
        ],
        state=State.HELD,
        reason=waits.reason if waits else "",
        message=waits.message if waits else "",
        site=site,
        next_start_at=None if site is None else now,
        created_at=now,
        changed_at=now,
        **lifecycle.demand_columns(demand),
        **sender,
    )
