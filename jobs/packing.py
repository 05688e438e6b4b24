"""Claimed jobs -> the workloads of one call to a connector, within what one call may carry."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from django.conf import settings

from controlplane.errors import IsthmusError
from controlplane.secrets import Unsealable
from jobs import payload
from jobs.models import Job
from sites import manifest

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
            batch.unfit.append((job, getattr(refusal, "reason", "InvalidPod"), str(refusal)))
        else:
            room -= _size(workload)
            batch.workloads[job] = workload
        finally:
            job.request = None
    return batch


def _workload(job: Job) -> Workload:
    return manifest.parse(payload.read_request(job)).workload(
        key=job.attempt_key, folder=job.folder, account=job.account
    )


def _size(workload: Workload) -> int:
    """About how many bytes a connector will carry for it: its files and its environment."""
    files = sum(len(file.content) for volume in workload.volumes for file in volume.files)
    containers = (*workload.init_containers, *workload.containers)
    return files + sum(len(name) + len(value) for each in containers for name, value in each.env)
