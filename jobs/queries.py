"""Read queries on jobs and their usage, for the API, the pages and exports.

`wanted`: API filter name -> value; a row must fit all of them. A query for one row raises NotFound where the row does
not exist or is out of reach.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Q
from django.db.models.functions import Now

from controlplane.tenants.queries import with_tenant_slug
from jobs.models import Job, UsageRecord

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime
    from uuid import UUID

    from controlplane.auth.callers import PersonCaller, ServiceCaller
    from controlplane.reach import Reach, Reached
    from jobs.models import Transition

#: How long a change is kept back: by then, all changes with an earlier `changed_at` are committed.
SETTLED = timedelta(seconds=5)
#: The columns of a line in a list: without large, encrypted and internal ones.
_COLUMNS = (
    "key", "tenant_id", "pod_name", "pod_namespace", "state", "reason", "message", "cpus", "memory", "gpus",
    "gpu_kind", "time_limit", "created_at", "submitted_at", "started_at", "ended_at", "changed_at",
    "cancel_requested_at", "node__slug", "site__slug", "site__name", "person__name", "service__slug",
)  # fmt: skip
_DETAILS = (
    *_COLUMNS, "pod_uid", "containers", "status_exact", "exit_code", "attempt", "native_id", "partition", "flavor",
    "allocation_id", "cancel_reason", "deleted_at", "demand", "site__enabled", "site__silent_since", "site__silence",
    "site__config",
)  # fmt: skip
_JOB_LOOKUPS = {
    "tenant": "tenant__slug",
    "site": "site__slug",
    "node": "node__slug",
    "state": "state__in",
    "namespace": "pod_namespace",
    "name": "pod_name__contains",
    "created_from": "created_at__gte",
    "created_until": "created_at__lt",
    "ended_from": "ended_at__gte",
    "ended_until": "ended_at__lt",
}
_USAGE_LOOKUPS = {"tenant": "tenant__slug", "site": "site__slug", "from": "ended_at__gte", "until": "ended_at__lt"}


def jobs(reach: Reach, wanted: Mapping[str, Any], caller: PersonCaller | ServiceCaller) -> Reached[Job]:
    """The jobs within reach with all that a list shows, in one statement.

    wanted: see _JOB_LOOKUPS; state: a list, of which any may fit; mine: True for jobs that the caller submitted, False
    for all others.
    """
    rows = Job.objects.within(reach).matching(wanted, _JOB_LOOKUPS)
    if "mine" in wanted:
        # The same rule as `permissions.is_own`.
        own = Q(pk__in=[]) if caller.service_id is None else Q(service=caller.service_id)
        own = own if caller.person_id is None else Q(person=caller.person_id)
        rows = rows.filter(own) if wanted["mine"] else rows.exclude(own)
    return _with_names(rows).only(*_COLUMNS)


def job(reach: Reach, key: str) -> Job:
    """One job with all that is shown of it, except its history and usage."""
    return _with_names(Job.objects.within(reach)).only(*_DETAILS).one(_unknown_job(key), key=key)


def jobs_for_logs() -> Reached[Job]:
    """The jobs of all tenants with their sites, without the large columns that logs do not need."""
    return Job.objects.select_related("site").defer("request", "status_first", "status_exact")


def job_for_log(reach: Reach, key: str) -> Job:
    return jobs_for_logs().within(reach).one(_unknown_job(key), key=key)


def pod_for_log(node_id: int, pod_uid: UUID) -> Job:
    """The job of a virtual node's pod."""
    sentence = f"This virtual node has no pod with the UID {pod_uid}."
    return jobs_for_logs().one(sentence, node_id=node_id, pod_uid=pod_uid)


def job_exists(reach: Reach, key: str) -> bool:
    return Job.objects.within(reach).filter(key=key).exists()


def latest_history(job: Job, *, most: int) -> list[Transition]:
    """The last `most` lines of the job's history, oldest first."""
    return list(job.history.order_by("-pk")[:most])[::-1]


def job_usage(job: Job) -> Reached[UsageRecord]:
    """The usage records of the job's attempts, oldest first."""
    return job.usagerecord_set.order_by("pk")


def changed(jobs: Reached[Job], begin: datetime, *, after: int | None) -> Reached[Job]:
    """The jobs that changed from `begin` until SETTLED ago, in the order of their last changes.

    after: of the jobs that changed exactly at `begin`, only those with a higher id than this.
    """
    rows = jobs.filter(changed_at__lte=Now() - SETTLED, changed_at__gte=begin).order_by("changed_at", "pk")
    return rows if after is None else rows.filter(Q(changed_at__gt=begin) | Q(pk__gt=after))


def usage_records(reach: Reach, wanted: Mapping[str, Any]) -> Reached[UsageRecord]:
    """The usage records within reach. wanted: tenant, site (slugs); from, until (excluded): end of the attempt."""
    return UsageRecord.objects.within(reach).matching(wanted, _USAGE_LOOKUPS)


def _with_names(jobs: Reached[Job]) -> Reached[Job]:
    """Adds the names of tenant, node, site and submitter, in the same statement."""
    return with_tenant_slug(jobs).select_related("node", "site", "person", "service")


def _unknown_job(key: str) -> str:
    return f"There is no job {key[:40]} here."
