"""Admission: a pod becomes a durable row, once, with a site or with the reason why it waits. No site is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import transaction
from django.db.models import Exists

from controlplane.tenants.models import VirtualNode
from jobs import deletion, lifecycle, nudge, payload
from jobs.models import Job, Tombstone, new_key
from jobs.placement import Placed
from jobs.routing import destination
from jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from controlplane.auth.callers import NodeCaller
    from sites.manifest import PodRequest


def admit(caller: NodeCaller, pod: PodRequest, body: Mapping[str, Any], *, now: datetime) -> Job:
    """The job of this pod: a new one, or the one that an earlier create of the same node and UID made.

    `body` is what `pod` was parsed from. A pod that was deleted before it arrived gets a job that is over at once.
    """
    with transaction.atomic():
        deletion.one_at_a_time(caller.node_id, pod.uid)
        known = Job.objects.filter(node_id=caller.node_id, pod_uid=pod.uid).only("key").first()
        if known is not None:
            return known
        job = _new_job(caller, pod, body, now=now)
        tombstones = Tombstone.objects.filter(node_id=caller.node_id, pod_uid=pod.uid)
        node = VirtualNode.objects.annotate(pod_is_deleted=Exists(tombstones)).only("heard_minutes")
        found = node.get(pk=caller.node_id)
        # Its age as an orphan begins now, on the node's own clock.
        job.polled_minute = found.heard_minutes
        lifecycle.create(job)
        if found.pod_is_deleted:
            deletion.delete(caller, pod.uid, now=now)
        elif job.site_id is not None:
            nudge.nudge("submit", job.site_id)
    return job


def _new_job(caller: NodeCaller, pod: PodRequest, body: Mapping[str, Any], *, now: datetime) -> Job:
    key = new_key()
    return Job(
        tenant_id=caller.tenant_id,
        node_id=caller.node_id,
        key=key,
        pod_uid=pod.uid,
        pod_name=pod.name,
        pod_namespace=pod.namespace,
        request=payload.seal(body, tenant_id=caller.tenant_id, key=key),
        containers=_containers(pod),
        cpus=pod.resources.cpus,
        memory=pod.resources.memory,
        gpus=pod.resources.gpus,
        time_limit=pod.time_limit,
        created_at=now,
        **_placed(caller.node_id, now=now),
    )


def _containers(pod: PodRequest) -> list[dict[str, Any]]:
    """Job.containers: init containers first, each list in the pod's order."""
    both = [(container, True) for container in pod.init_containers] + [
        (container, False) for container in pod.containers
    ]
    return [{"name": container.name, "image": container.image, "init": init} for container, init in both]


def _placed(node_id: int, *, now: datetime) -> dict[str, Any]:
    answer = destination(node_id)
    if isinstance(answer, Placed):
        where: dict[str, Any] = {"state": State.QUEUED, "site_id": answer.site_id, "next_submit_at": now}
    else:
        where = {"state": State.HELD}
    return {**where, "reason": answer.reason, "message": answer.message}
