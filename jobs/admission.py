"""Admission: a pod becomes a durable row, once, held until a worker starts it, and with the reason why it waits.

No site is called and no allocation locked here. What could never fit the tenant's allocation is refused at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

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
    from sites.reasons import Waits
    from sites.workload import Demand

# All that a create has to know, at once: the pod's job if it has one, whether it was deleted before it came, the node's
# clock and its way.
_LOOK = f"""
    SELECT (SELECT id FROM jobs_job WHERE node_id = $1 AND pod_uid = $2),
           EXISTS (SELECT FROM jobs_tombstone WHERE node_id = $1 AND pod_uid = $2),
           node.heard_minutes, {routes.COLUMNS}
    FROM {routes.SOURCES} WHERE node.id = $1
"""  # noqa: S608  (names from our own modules)


def admit(caller: NodeCaller, pod: PodRequest, body: Mapping[str, Any], *, now: datetime) -> Job:
    """The job of this pod: a new one, or the one that an earlier create of the same node and UID made.

    `body` is what `pod` was parsed from. A pod that was deleted before it arrived gets a job that is over at once.
    Raises Refused where it could never run at the site that its node sends to.
    """
    with transaction.atomic(savepoint=False):  # mostly in its caller's, which sees the caller's tenant
        cancellation.one_at_a_time(caller.node_id, pod.uid)
        row = database.first(_LOOK, [caller.node_id, pod.uid])
        if row is None:
            raise Forbidden(f"The virtual node {caller.slug} is no longer there.")
        known, is_deleted, heard_minutes, *way = row
        if known is not None:
            return Job.objects.only("key").get(pk=known)
        job = _new_job(pod, body, tenant_id=caller.tenant_id, now=now)
        _send(job, pod, routes.read_routes(way, now=now))
        job.node_id = caller.node_id
        job.polled_minute = heard_minutes  # its age as an orphan begins now, on the node's own clock
        store(job, verb="job.create")
        if is_deleted:
            cancellation.delete_pod(caller, pod.uid, now=now)
    return job


def submit(
    caller: PersonCaller | ServiceCaller,
    body: Mapping[str, Any],
    *,
    tenant_id: int,
    site_slug: str | None = None,
    now: datetime,
) -> Job:
    """A new job of this tenant from {"pod", "configmaps", "secrets"}, without any cluster, at the best of its sites.

    site_slug: the one site that it shall go to. What the pod lacks of uid, name and namespace it is given. Raises
    BadRequest, and Refused where it could start at none of them. In its caller's transaction, or one of its own.
    """
    tenant = Tenant.objects.get(pk=tenant_id)
    full = manifest.completed(body, namespace=tenant.slug)
    pod = manifest.parse(full)
    answers = ranking.rank(pod, routes.of_tenant(tenant, site_slug=site_slug, now=now).situations)
    if not answers:
        where = f"at {site_slug}" if site_slug else "at any site"
        raise Refused(f"{tenant.name} has no allocation {where}; a manager of {tenant.name} can ask for one.")
    best = ranking.best(answers)
    job = _new_job(pod, full, tenant_id=tenant.pk, now=now)
    _settle(job, best.demand, best.why)
    job.site, job.next_start_at = best.site, now
    if isinstance(caller, PersonCaller):
        job.person = Person.objects.get(pk=caller.person_id)
        job.owner_issuer, job.owner_subject = job.person.issuer, job.person.subject
    else:
        job.service_id = caller.service_id
    with transaction.atomic():
        store(job, verb="job.submit")
    return job


def store(job: Job, *, verb: str) -> None:
    """Insert a new job, with its line in the audit trail and a hint to the worker. In the caller's transaction."""
    lifecycle.create(job)
    pod = {"pod": str(job), "uid": str(job.pod_uid)}
    site = job.site.slug if job.site else ""
    trail.record(verb, "job", job.key, tenant_id=job.tenant_id, site=site, changes=pod)
    if job.site_id is not None:
        nudge.nudge("submit", job.site_id)


def _new_job(pod: PodRequest, body: Mapping[str, Any], *, tenant_id: int, now: datetime) -> Job:
    """What is the pod's own, whoever sends it and wherever it goes."""
    key = new_key()
    return Job(
        tenant_id=tenant_id,
        key=key,
        pod_uid=pod.uid,
        pod_name=pod.name,
        pod_namespace=pod.namespace,
        request=payload.seal(body, tenant_id=tenant_id, key=key),
        containers=_containers(pod),
        state=State.HELD,
        created_at=now,
        changed_at=now,
    )


def _send(job: Job, pod: PodRequest, found: Routes) -> None:
    """To the best site of its node, or to none for now. Raises Refused where none can ever run it.

    What an allocation has no room for now is for a worker to say, which looks at it next.
    """
    if found.closed is not None:
        _settle(job, policy.asked(pod), found.closed)
        return
    best = ranking.best(ranking.rank(pod, found.situations))
    _settle(job, best.demand, best.closed)
    job.site, job.next_start_at = best.site, job.created_at


def _settle(job: Job, demand: Demand, waits: Waits | None) -> None:
    """Write down what the job asks for, and why it waits where that is known already."""
    for name, value in lifecycle.demand_columns(demand).items():
        setattr(job, name, value)
    job.reason, job.message = (waits.reason, waits.message) if waits else ("", "")


def _containers(pod: PodRequest) -> list[dict[str, Any]]:
    """Job.containers: init containers first, each list in the pod's order."""
    both = [(container, True) for container in pod.init_containers] + [
        (container, False) for container in pod.containers
    ]
    return [{"name": container.name, "image": container.image, "init": init} for container, init in both]
