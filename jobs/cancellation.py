"""Records requests to end jobs, which survive a silent site. A job that is at no site yet ends at once."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.db import transaction

from controlplane import database
from controlplane.audit import trail
from jobs import lifecycle, nudge
from jobs.lifecycle import Move
from jobs.models import Changes, Job, Tombstone
from jobs.states import AT_SITE, ENDS, State
from sites.models import Site
from sites.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from uuid import UUID

    from controlplane.auth.callers import NodeCaller


def cancel(
    job_ids: Iterable[int], *, reason: str, message: str = "", now: datetime, verb: str = "job.cancel"
) -> list[Job]:
    """Cancels these jobs, or records that they are to be cancelled at their site. Returns the jobs that it changed.

    Jobs that have ended, or have a cancellation already, stay as they are. reason: one CamelCase word. message: a
    sentence for the pod's owner. verb: the event's verb in the audit trail; empty records no event, where there is one
    already or nobody asked.
    """
    with transaction.atomic():
        # Locked before the decision: a job that is claimed at this moment must be cancelled at its site, not here.
        locked = Job.objects.select_for_update().filter(pk__in=job_ids, cancel_requested_at__isnull=True)
        jobs = locked.exclude(state__in=ENDS).only("pk", "state", "attempt").order_by("pk")
        requested: Changes = {"cancel_requested_at": now, "cancel_reason": reason}
        at_site: Changes = {**requested, "next_cancel_at": now}
        elsewhere: Changes = {**requested, "reason": reason, "message": message}
        moves = [
            Move(job.pk, job.attempt, changes=at_site)
            if job.state in AT_SITE
            else Move(job.pk, job.attempt, State.CANCELLED, elsewhere)
            for job in jobs
        ]
        moved = lifecycle.move(moves, now=now)
        if verb:
            slugs = dict(Site.objects.filter(pk__in={job.site_id for job in moved}).values_list("pk", "slug"))
            for job in moved:
                site = slugs.get(job.site_id, "") if job.site_id else ""
                changes = {"pod": str(job), "uid": str(job.pod_uid), "reason": reason}
                trail.record(verb, "job", job.key, tenant_id=job.tenant_id, site=site, changes=changes)
        for site_id in {job.site_id for job in moved if job.state in AT_SITE and job.site_id}:
            nudge.nudge("cancel", site_id)
    return moved


def delete_pod(caller: NodeCaller, pod_uid: UUID, *, now: datetime) -> None:
    """Cancels the job of a pod that its kubelet deleted. An unknown pod leaves a tombstone for its late create.

    The kubelet asks once: the request is on record when this returns.
    """
    with transaction.atomic():
        one_at_a_time(caller.node_id, pod_uid)
        jobs = Job.objects.filter(node_id=caller.node_id, pod_uid=pod_uid)
        job = jobs.values_list("pk", "key").first()
        if job is None:
            # Only this transaction works on the pod: no other one leaves a tombstone in between.
            if not Tombstone.objects.filter(node_id=caller.node_id, pod_uid=pod_uid).exists():
                Tombstone.objects.create(node_id=caller.node_id, pod_uid=pod_uid, created_at=now)
                trail.record("pod.delete", "pod", pod_uid, tenant_id=caller.tenant_id)
            return
        job_id, key = job
        # In every state, ended ones too: /status never answers with a deleted pod again.
        if lifecycle.change_quietly(jobs.filter(deleted_at__isnull=True), {"deleted_at": now}):
            trail.record("job.delete", "job", key, tenant_id=caller.tenant_id, changes={"uid": str(pod_uid)})
        message = "The pod was deleted from its cluster."
        cancel([job_id], reason=Reason.DELETED, message=message, now=now, verb="")


def one_at_a_time(node_id: int, pod_uid: UUID) -> None:
    """Locks the pod until this transaction ends, so that no other transaction creates or deletes it.

    Without the lock a delete and a late create could miss each other: the delete finds no job, the create finds no
    tombstone, and the pod runs with nobody left to delete it.
    """
    digest = hashlib.blake2b(b"%d %s" % (node_id, pod_uid.bytes), digest_size=8).digest()
    database.execute("SELECT pg_advisory_xact_lock($1)", [int.from_bytes(digest, signed=True)])
