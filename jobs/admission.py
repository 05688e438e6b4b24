"""Admission: a pod becomes a durable row, once, held until a worker starts it, and with the reason why it waits.

No site is called and no allocation locked here. What could never fit the tenant's allocation is refused at once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.db import transaction

from controlplane import database
from controlplane.audit import trail
from controlplane.auth.callers import PersonCaller, ServiceCaller
from controlplane.errors import Forbidden, Refused
from controlplane.tenants.models import Tenant
from jobs import deletion, lifecycle, nudge, payload
from jobs.models import Job, new_key
from jobs.placement import candidates, eligibility, routes
from jobs.placement.eligibility import Situation, Wanted
from jobs.placement.ranking import Choice, Placed, choose
from jobs.states import State
from sites import manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from controlplane.auth.callers import NodeCaller
    from jobs.placement.candidates import Option
    from jobs.placement.routes import Way
    from sites.manifest import PodRequest

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
        deletion.one_at_a_time(caller.node_id, pod.uid)
        row = database.first(_LOOK, [caller.node_id, pod.uid])
        if row is None:
            raise Forbidden(f"The virtual node {caller.slug} is no longer there.")
        known, is_deleted, heard_minutes, *way = row
        if known is not None:
            return Job.objects.only("key").get(pk=known)
        job = _new_job(caller, pod, body, routes.read_way(way), now=now)
        # Its age as an orphan begins now, on the node's own clock.
        job.polled_minute = heard_minutes
        store(job, verb="job.create")
        if is_deleted:
            deletion.delete(caller, pod.uid, now=now)
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
    option = _best(candidates.options(tenant, pod, site=site_slug, now=now), tenant, site_slug)
    waits = option.waits
    job = Job(
        **columns(pod, full, tenant_id=tenant.pk),
        **(option.wanted.columns if option.wanted else {}),
        site=option.site,
        person_id=caller.person_id if isinstance(caller, PersonCaller) else None,
        service_id=caller.service_id if isinstance(caller, ServiceCaller) else None,
        state=State.HELD,
        next_start_at=now,
        reason=waits.reason if waits else "",
        message=waits.message if waits else "",
        created_at=now,
        changed_at=now,
    )
    with transaction.atomic():
        store(job, verb="job.submit")
    return job


def _best(found: list[Option], tenant: Tenant, site_slug: str | None) -> Option:
    if not found:
        where = f"at {site_slug}" if site_slug else "at any site"
        raise Refused(f"{tenant.name} has no allocation {where}; a manager of {tenant.name} can ask for one.")
    possible = {option.site.pk: option for option in found if not option.refusal}
    if not possible:
        reasons = " ".join(dict.fromkeys(option.refusal for option in found))
        raise Refused(reasons if len(found) == 1 else f"No site can take the pod. {reasons}")
    return possible[choose([_choice(option) for option in possible.values()]).site_id]


def _choice(option: Option) -> Choice:
    allocation = option.situation.allocation
    return Choice(
        site_id=option.site.pk,
        name=option.site.name,
        fits=option.verdict is not None and option.verdict.fits,
        answers=option.site.silent_since is None,
        takes_work=option.site.enabled,
        priority=allocation.priority if allocation else 0,
    )


def store(job: Job, *, verb: str) -> None:
    """Insert a new job, with its line in the audit trail and a hint to the worker. In the caller's transaction."""
    lifecycle.create(job)
    pod = {"pod": str(job), "uid": str(job.pod_uid)}
    site = job.site.slug if job.site else ""
    trail.record(verb, "job", job.key, tenant_id=job.tenant_id, site=site, changes=pod)
    if job.site_id is not None:
        nudge.nudge("submit", job.site_id)


def require_possible(wanted: Wanted, situation: Situation) -> None:
    """Refused in words where the pod could not start even if nothing else of its tenant did."""
    verdict = situation.judge(wanted)
    if verdict.never:  # perhaps by the allocation's default time alone: only now is it asked what the partition gives
        verdict = replace(situation, partitions=situation.site.partitions.all()).judge(wanted)
    if verdict.never and verdict.waits is not None:
        raise Refused(verdict.waits.message)


def columns(pod: PodRequest, body: Mapping[str, Any], *, tenant_id: int) -> dict[str, Any]:
    """The columns of a job that are the pod's own, whoever sends it and wherever it goes."""
    key = new_key()
    return {
        "tenant_id": tenant_id,
        "key": key,
        "pod_uid": pod.uid,
        "pod_name": pod.name,
        "pod_namespace": pod.namespace,
        "request": payload.seal(body, tenant_id=tenant_id, key=key),
        "containers": _containers(pod),
    }


def _new_job(caller: NodeCaller, pod: PodRequest, body: Mapping[str, Any], way: Way | None, *, now: datetime) -> Job:
    """Held: at the site that its node sends to, or without one and with the reason why."""
    answer = routes.decide(way)
    where: dict[str, Any] = {"reason": answer.reason, "message": answer.message}
    if isinstance(answer, Placed) and way is not None:
        wanted = Wanted.of(eligibility.settled(pod, way.site))
        require_possible(wanted, Situation(way.tenant, way.site, way.allocation, now))
        where |= {"site": way.site, "next_start_at": now}
    else:
        wanted = Wanted.of(pod)
    return Job(
        **columns(pod, body, tenant_id=caller.tenant_id),
        **wanted.columns,
        **where,
        node_id=caller.node_id,
        state=State.HELD,
        created_at=now,
        changed_at=now,
    )


def _containers(pod: PodRequest) -> list[dict[str, Any]]:
    """Job.containers: init containers first, each list in the pod's order."""
    both = [(container, True) for container in pod.init_containers] + [
        (container, False) for container in pod.containers
    ]
    return [{"name": container.name, "image": container.image, "init": init} for container, init in both]
