"""Which pods a site gets next, and taking them: by priority, then in fair turns between tenants, in one statement."""

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

#: A pod whose submission went unanswered this often goes alone, so that it cannot take others down with it.
ALONE_AFTER = 3

# Of the highest priority each tenant's first, then each tenant's second, and so on; among equals the oldest.
_CHOOSE = """
WITH turns AS (
    SELECT id, priority, row_number() OVER (PARTITION BY tenant_id, priority ORDER BY id) AS turn
    FROM jobs_job
    WHERE site_id = %(site)s AND state = 'queued' AND demand IS NOT NULL AND next_submit_at <= %(now)s
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
    """Take a batch of due jobs, each with a new attempt on record, committed before anything is said to the site.

    Empty where nothing is due or the site takes no new work.
    """
    if health.closed(site):
        return []
    with transaction.atomic():
        chosen = _within_limits(_choose(site, now=now))
        return lifecycle.move([_attempt(site, pk, attempt + 1, now=now) for pk, attempt in chosen], now=now)


def _choose(site: Site, *, now: datetime) -> list[tuple[int, int, int, int]]:
    """(id, attempt, tries, sealed bytes) of the next jobs, their rows locked; those another worker has are left out."""
    with connection.cursor() as cursor:
        cursor.execute(_CHOOSE, {"site": site.pk, "now": now, "limit": settings.BATCH_JOBS})
        rows: list[tuple[int, int, int, int]] = cursor.fetchall()
    return rows


def _within_limits(rows: list[tuple[int, int, int, int]]) -> list[tuple[int, int]]:
    """The first of these that make one batch: never none, while there is one."""
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
    """workloads: what one call carries, by job. unfit: (job, reason, sentence) of pods that can never run.

    left: jobs for which this call has no room.
    """

    workloads: dict[Job, Workload] = field(default_factory=dict)
    unfit: list[tuple[Job, str, str]] = field(default_factory=list)
    left: list[Job] = field(default_factory=list)


def pack(jobs: Sequence[Job]) -> Batch:
    """Open the jobs' requests and read them again. One bad pod is set aside and stops no other."""
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
            continue  # cancelled since it was claimed: the row says so already
        except (IsthmusError, Unsealable) as refusal:
            batch.unfit.append((job, getattr(refusal, "reason", Reason.INVALID_POD), str(refusal)))
        else:
            room -= _size(workload)
            batch.workloads[job] = workload
        finally:
            job.request = None
    return batch


def _size(workload: Workload) -> int:
    """About how many bytes a connector will carry for it: its files and its environment."""
    files = sum(len(file.content) for volume in workload.volumes for file in volume.files)
    containers = (*workload.init_containers, *workload.containers)
    return files + sum(len(name) + len(value) for each in containers for name, value in each.env)


def _workload(job: Job) -> Workload:
    """The pod as it came, with the demand that it was granted: nothing else is looked up.

    Raises IsthmusError for a pod that can never run, Unsealable, and Erased.
    """
    pod = manifest.parse(payload.read_request(job))
    demand = Demand.from_json(job.demand or {})
    return pod.workload(demand, key=job.attempt_key, folder=job.folder, account=job.account)
