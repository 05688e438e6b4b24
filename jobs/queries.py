"""What is read of jobs and of their usage, by the API, the pages and exports alike.

`wanted`: filters by their names in the API; all that are there must fit. What is asked for by its name and is not
within reach is NotFound.
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

#: How long a change is kept back, so that whatever was stamped earlier is committed by then.
SETTLED = timedelta(seconds=5)
#: What a line of a list is made of: all but what is large, sealed, or our own.
_COLUMNS = (
    "key", "tenant_id", "pod_name", "pod_namespace", "state", "reason", "message", "cpus", "memory", "gpus",
    "gpu_kind", "time_limit", "created_at", "submitted_at", "started_at", "ended_at", "changed_at",
    "cancel_requested_at", "node__slug", "site__slug", "site__name", "person__name", "service__slug",
)  # fmt: skip
_DETAILS = (
    *_COLUMNS, "pod_uid", "containers", "status_exact", "exit_code", "attempt", "native_id", "partition", "flavor",
    "allocation_id", "cancel_reason", "deleted_at",
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
    """Those with all that a list shows, in one statement. wanted: what _JOB_LOOKUPS names; state: any of several.

    `mine` in `wanted`: True for those that the caller has submitted, False for all others.
    """
    rows = Job.objects.within(reach).matching(wanted, _JOB_LOOKUPS)
    if "mine" in wanted:
        # The same as `permissions.is_own` asks of one job. A program without a service account has submitted none.
        own = Q(pk__in=[]) if caller.service_id is None else Q(service=caller.service_id)
        own = own if caller.person_id is None else Q(person=caller.person_id)
        rows = rows.filter(own) if wanted["mine"] else rows.exclude(own)
    return _with_names(rows).only(*_COLUMNS)


def job(reach: Reach, key: str) -> Job:
    """With all that is shown of one job, but for its history and usage."""
    return _with_names(Job.objects.within(reach)).only(*_DETAILS).one(_unknown(key), key=key)


def jobs_for_logs() -> Reached[Job]:
    """Of everybody, with their sites, and without what nobody needs for a log."""
    return Job.objects.select_related("site").defer("request", "status_first", "status_exact")


def job_for_log(reach: Reach, key: str) -> Job:
    return jobs_for_logs().within(reach).one(_unknown(key), key=key)


def pod_for_log(node_id: int, pod_uid: UUID) -> Job:
    """The job of a virtual node's pod."""
    sentence = f"This virtual node has no pod with the UID {pod_uid}."
    return jobs_for_logs().one(sentence, node_id=node_id, pod_uid=pod_uid)


def job_exists(reach: Reach, key: str) -> bool:
    return Job.objects.within(reach).filter(key=key).exists()


def latest_history(job: Job, *, most: int) -> list[Transition]:
    """The last `most` lines, oldest first."""
    return list(job.history.order_by("-pk")[:most])[::-1]


def job_usage(job: Job) -> Reached[UsageRecord]:
    """What each attempt used, in their order."""
    return job.usagerecord_set.order_by("pk")


def changed(jobs: Reached[Job], begin: datetime, *, after: int | None) -> Reached[Job]:
    """Those of `jobs` that changed at `begin` or later, in the order of their last changes, up to SETTLED before now.

    after: an id; of those that changed at `begin` only the ones with a higher one.
    """
    rows = jobs.filter(changed_at__lte=Now() - SETTLED, changed_at__gte=begin).order_by("changed_at", "pk")
    return rows if after is None else rows.filter(Q(changed_at__gt=begin) | Q(pk__gt=after))


def usage_records(reach: Reach, wanted: Mapping[str, Any]) -> Reached[UsageRecord]:
    """What finished attempts used. wanted: tenant, site (slugs); from, until: when it ended, the latter left out."""
    return UsageRecord.objects.within(reach).matching(wanted, _USAGE_LOOKUPS)


def _with_names(jobs: Reached[Job]) -> Reached[Job]:
    """Each with the names of its tenant, node, site and submitter, in one statement however many there are."""
    return with_tenant_slug(jobs).select_related("node", "site", "person", "service")


def _unknown(key: str) -> str:
    return f"There is no job {key[:40]} here."
