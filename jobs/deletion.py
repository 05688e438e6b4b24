"""A kubelet deletes a pod, once and without asking again: the wish is a row before the answer."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from django.db import transaction

from controlplane import database
from controlplane.audit import trail
from jobs import cancellation, lifecycle
from jobs.models import Job, Tombstone
from sites.reasons import Reason

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

    from controlplane.auth.callers import NodeCaller


def delete(caller: NodeCaller, pod_uid: UUID, *, now: datetime) -> None:
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
        cancellation.cancel([job_id], reason=Reason.DELETED, message=said, now=now, verb="")


def one_at_a_time(node_id: int, pod_uid: UUID) -> None:
    """Until this transaction ends, no other one creates or deletes this pod.

    Without it a delete and a late create could pass each other unseen: the one finds no job and the other no tombstone,
    and the pod would run with nobody left to delete it.
    """
    digest = hashlib.blake2b(b"%d %s" % (node_id, pod_uid.bytes), digest_size=8).digest()
    database.execute("SELECT pg_advisory_xact_lock($1)", [int.from_bytes(digest, signed=True)])
