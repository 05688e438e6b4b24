"""The wish to cancel: durable, whatever the site does. What no site has yet is cancelled at once."""

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
    """Cancel these jobs, or note the wish; those that it changed. Ended and already unwanted ones are left alone.

    reason: one CamelCase word; message: a sentence for the pod's owner. verb: how the audit trail tells it; empty where
    the trail has it already, or nobody asked.
    """
    with transaction.atomic():
        # Locked before the decision: a job being claimed this moment must get the wish, not the end.
        locked = Job.objects.select_for_update().filter(pk__in=job_ids, cancel_requested_at__isnull=True)
        jobs = locked.exclude(state__in=ENDS).only("pk", "state", "attempt").order_by("pk")
        wish: Changes = {"cancel_requested_at": now, "cancel_reason": reason}
        at_site: Changes = {**wish, "next_cancel_at": now}
        elsewhere: Changes = {**wish, "reason": reason, "message": message}
        moves = [
            Move(job.pk, job.attempt, changes=at_site)
            if job.state in AT_SITE
            else Move(job.pk, job.attempt, State.CANCELLED, elsewhere)
            for job in jobs
        ]
        moved = lifecycle.move(moves, now=now)
        if verb:
            _record(verb, moved, reason)
        for site_id in {job.site_id for job in moved if job.state in AT_SITE and job.site_id}:
            nudge.nudge("cancel", site_id)
    return moved


def delete_pod(caller: NodeCaller, pod_uid: UUID, *, now: datetime) -> None:
    """End the pod's job, or wish so at its site. A pod that is not known leaves a tombstone for its late create."""
    with transaction.atomic():
        one_at_a_time(caller.node_id, pod_uid)
        theirs = Job.objects.filter(node_id=caller.node_id, pod_uid=pod_uid)
        job = theirs.values_list("pk", "key").first()
        if job is None:
            # The pod is this transaction's alone: no other one leaves a tombstone in between.
            if not Tombstone.objects.filter(node_id=caller.node_id, pod_uid=pod_uid).exists():
                Tombstone.objects.create(node_id=caller.node_id, pod_uid=pod_uid, created_at=now)
                trail.record("pod.delete", "pod", pod_uid, tenant_id=caller.tenant_id)
            return
        job_id, key = job
        # In every state, ended ones too: what is deleted is never told of again.
        if lifecycle.change_quietly(theirs.filter(deleted_at__isnull=True), {"deleted_at": now}):
            trail.record("job.delete", "job", key, tenant_id=caller.tenant_id, changes={"uid": str(pod_uid)})
        said = "The pod was deleted from its cluster."
        cancel([job_id], reason=Reason.DELETED, message=said, now=now, verb="")


def one_at_a_time(node_id: int, pod_uid: UUID) -> None:
    """Until this transaction ends, no other one creates or deletes this pod.

    Without it a delete and a late create could pass each other unseen: the one finds no job and the other no tombstone,
    and the pod would run with nobody left to delete it.
    """
    digest = hashlib.blake2b(b"%d %s" % (node_id, pod_uid.bytes), digest_size=8).digest()
    database.execute("SELECT pg_advisory_xact_lock($1)", [int.from_bytes(digest, signed=True)])


def _record(verb: str, jobs: Iterable[Job], reason: str) -> None:
    slugs = dict(Site.objects.filter(pk__in={job.site_id for job in jobs}).values_list("pk", "slug"))
    for job in jobs:
        site = slugs.get(job.site_id, "") if job.site_id else ""
        changes = {"pod": str(job), "uid": str(job.pod_uid), "reason": reason}
        trail.record(verb, "job", job.key, tenant_id=job.tenant_id, site=site, changes=changes)
