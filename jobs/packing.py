"""Claimed jobs -> the workloads of one call to a connector, within what one call may carry."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from django.conf import settings

from controlplane.errors import IsthmusError
from controlplane.secrets import Unsealable
from jobs import payload
from jobs.models import Job
from sites import manifest
from sites.models import Allocation, Flavor
from sites.policy import filled_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sites.workload import Workload

logger = logging.getLogger(__name__)


@dataclass
class Batch:
    """workloads: what one call carries, by job. unfit: (job, reason, sentence) of pods that can never run.

    left: jobs for which this call has no room.
    """

    workloads: dict[Job, Workload] = field(default_factory=dict)
    unfit: list[tuple[Job, str, str]] = field(default_factory=list)
    left: list[Job] = field(default_factory=list)


@dataclass(frozen=True)
class Rules:
    """What the allocations and flavors of a batch of jobs add to their pods."""

    allocations: dict[int, Allocation]
    flavors: dict[tuple[int | None, str], Flavor]

    @classmethod
    def of(cls, jobs: Sequence[Job]) -> Rules:
        """At most two statements."""
        ids = {job.allocation_id for job in jobs if job.allocation_id is not None}
        names = {job.flavor for job in jobs if job.flavor}
        flavors = Flavor.objects.filter(site__in={job.site_id for job in jobs}, name__in=names) if names else ()
        return cls(Allocation.objects.in_bulk(ids), {(each.site_id, each.name): each for each in flavors})

    def workload(self, job: Job) -> Workload:
        """Raises IsthmusError for a pod that can never run, Unsealable, and Erased."""
        pod = manifest.parse(payload.read_request(job))
        pod = filled_in(pod, self.flavors.get((job.site_id, job.flavor)), site="This site")
        allocation = self.allocations.get(job.allocation_id or 0)
        partition = pod.flags.partition or next(iter(allocation.partitions if allocation else ()), None)
        pod = replace(pod, flags=replace(pod.flags, partition=partition), time_limit=job.time_limit)
        return pod.workload(
            key=job.attempt_key,
            folder=job.folder,
            account=job.account,
            qos=allocation.qos if allocation else "",
        )


def pack(jobs: Sequence[Job]) -> Batch:
    """Open the jobs' requests and read them again. One bad pod is set aside and stops no other."""
    batch = Batch()
    requests = dict(Job.objects.filter(pk__in=[job.pk for job in jobs]).values_list("pk", "request"))
    rules = Rules.of(jobs)
    room = settings.BATCH_BYTES
    for job in jobs:
        job.request = requests.get(job.pk)
        if batch.workloads and room <= 0:
            batch.left.append(job)
            continue
        try:
            workload = rules.workload(job)
        except payload.Erased:
            continue  # cancelled since it was claimed: the row says so already
        except (IsthmusError, Unsealable) as refusal:
            batch.unfit.append((job, getattr(refusal, "reason", "InvalidPod"), str(refusal)))
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
