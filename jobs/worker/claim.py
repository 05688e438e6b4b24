"""Chooses the pods that a site gets next, and takes them: by priority, then tenants in turn, in one statement."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import connection, transaction

from controlplane.errors import IsthmusError
from controlplane.secrets import Unsealable
from jobs import lifecycle, payload
from jobs.models import Job, new_key
from jobs.states import State
from sites import health, manifest
from sites.connections import folder_for
from sites.reasons import Reason
from sites.workload import Demand

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from sites.models import Site
    from sites.workload import Workload

#: A pod whose submission got no answer this many times is submitted alone: it may be what makes the call fail.
ALONE_AFTER = 3

# The highest priority first; in it each tenant's first job, then each tenant's second, and so on; the oldest first. A
# row that another worker has locked is left out.
_NEXT = """
WITH turns AS (
    SELECT id, priority, row_number() OVER (PARTITION BY tenant_id, priority ORDER BY id) AS turn
    FROM jobs_job
    WHERE site_id = %(site)s AND state = 'queued' AND demand @> '{"is_granted": true}' AND next_submit_at <= %(now)s
    ORDER BY priority DESC, turn, id
    LIMIT %(limit)s
)
SELECT job.id, job.attempt, job.tries, octet_length(job.request)
FROM jobs_job AS job JOIN turns USING (id)
WHERE job.state = 'queued'
ORDER BY turns.priority DESC, turns.turn, job.id
FOR UPDATE OF job SKIP LOCKED
"""


def claim(site: Site, *, now: datetime) -> list[Job]:
    """Takes a batch of due jobs, each with a new attempt that is committed before the site is called.

    Returns an empty list where nothing is due or the site takes no new work. Raises BadConfig where the site's
    settings do not say where its folders are.
    """
    if health.closed(site):
        return []
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute(_NEXT, {"site": site.pk, "now": now, "limit": settings.BATCH_JOBS})
            chosen = _within_limits(cursor.fetchall())
        return lifecycle.move([_attempt(site, pk, attempt + 1, now=now) for pk, attempt in chosen], now=now)


def _within_limits(rows: list[tuple[int, int, int, int]]) -> list[tuple[int, int]]:
    """(id, attempt) of the first rows that make one batch: at least one, if there is any.

    rows: (id, attempt, tries, bytes of the sealed request).
    """
    chosen: list[tuple[int, int]] = []
    room = settings.BATCH_BYTES
    for pk, attempt, tries, size in rows:
        room -= size
        if chosen and (room < 0 or tries >= ALONE_AFTER):
            break
        chosen.append((pk, attempt))
        if tries >= ALONE_AFTER:
            break
    return chosen


def _attempt(site: Site, job_id: int, attempt: int, *, now: datetime) -> lifecycle.Move:
    key = new_key()
    return lifecycle.Move(
        job_id,
        attempt - 1,
        State.SUBMITTING,
        {
            "attempt": attempt,
            "attempt_key": key,
            "folder": folder_for(site.kind, site.config, key),
            "native_id": "",
            "reason": "",
            "message": "",
            "next_submit_at": None,
            "next_find_at": now + timedelta(seconds=settings.SUBMIT_RECOVER_AFTER),
        },
    )


@dataclass
class Batch:
    """What one submission carries.

    workloads: the jobs that are submitted. unfit: (job, reason, sentence) of pods that can never run. left: jobs for
    which this call has no room.
    """

    workloads: dict[Job, Workload] = field(default_factory=dict)
    unfit: list[tuple[Job, str, str]] = field(default_factory=list)
    left: list[Job] = field(default_factory=list)


def pack(jobs: Sequence[Job]) -> Batch:
    """Decrypts and parses the jobs' requests again. A bad pod goes to `unfit` and does not stop the others."""
    batch = Batch()
    requests = dict(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("pk", "request"))
    room = settings.BATCH_BYTES
    for job in jobs:
        job.request = requests.get(job.pk)
        if batch.workloads and room <= 0:
            batch.left.append(job)
            continue
        try:
            workload = _workload(job)
        except payload.Erased:
            continue  # it was cancelled after the claim, and its row says so already
        except (IsthmusError, Unsealable) as refusal:
            batch.unfit.append((job, getattr(refusal, "reason", Reason.INVALID_POD), str(refusal)))
        else:
            # About what a connector carries: files and environments.
            room -= sum(len(file.content) for volume in workload.volumes for file in volume.files)
            containers = (*workload.init_containers, *workload.containers)
            room -= sum(len(name) + len(value) for each in containers for name, value in each.env)
            batch.workloads[job] = workload
        finally:
            job.request = None
    return batch


def _workload(job: Job) -> Workload:
    """The workload of a claimed job: its stored pod with the demand that it was granted at its start.

    Raises IsthmusError for a pod that can never run, Unsealable where it cannot be decrypted, and Erased after its end.
    """
    pod = manifest.parse(payload.read_request(job))
    demand = Demand.from_json(job.demand or {})
    return pod.workload(demand, key=job.attempt_key, folder=job.folder, account=job.account)
