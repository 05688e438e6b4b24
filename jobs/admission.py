"""Admission: a pod becomes a durable row, once, with a site or with the reason why it waits. No site is called."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import connection, transaction

from jobs import deletion, lifecycle, nudge, payload
from jobs.models import Job, new_key
from jobs.placement import Placed
from jobs.routing import destination
from jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from controlplane.auth.callers import NodeCaller
    from sites.manifest import PodRequest

# By hand: every create asks it, and the ORM would take longer to phrase it than PostgreSQL to answer.
_SEEN_BEFORE = """
    SELECT job.id, node.heard_minutes,
           EXISTS (SELECT FROM jobs_tombstone AS stone WHERE stone.node_id = node.id AND stone.pod_uid = %(pod)s)
    FROM tenants_virtualnode AS node
    LEFT JOIN jobs_job AS job ON job.node_id = node.id AND job.pod_uid = %(pod)s
    WHERE node.id = %(node)s
"""


def admit(caller: NodeCaller, pod: PodRequest, body: Mapping[str, Any], *, now: datetime) -> Job:
    """The job of this pod: a new one, or the one that an earlier create of the same node and UID made.

    `body` is what `pod` was parsed from. A pod that was deleted before it arrived gets a job that is over at once.
    """
    with transaction.atomic(savepoint=False):  # mostly in its caller's, which sees the caller's tenant
        deletion.one_at_a_time(caller.node_id, pod.uid)
        known, heard_minutes, is_deleted = _seen_before(caller.node_id, pod.uid)
        if known is not None:
            return Job.objects.only("key").get(pk=known)
        job = _new_job(caller, pod, body, now=now)
        # Its age as an orphan begins now, on the node's own clock.
        job.polled_minute = heard_minutes
        lifecycle.create(job)
        if is_deleted:
            deletion.delete(caller, pod.uid, now=now)
        elif job.site_id is not None:
            nudge.nudge("submit", job.site_id)
    return job


def _seen_before(node_id: int, pod_uid: UUID) -> tuple[int | None, int, bool]:
    """The pod's job if it has one, the node's clock, and whether the pod was deleted before it came."""
    with connection.cursor() as cursor:
        cursor.execute(_SEEN_BEFORE, {"node": node_id, "pod": pod_uid})
        row: tuple[int | None, int, bool] = cursor.fetchone()
    return row


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
