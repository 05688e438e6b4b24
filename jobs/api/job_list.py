"""/jobs: what there is, newest first, or in the order in which it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import OuterRef, Q, Subquery
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from controlplane.api.bodies import asked
from controlplane.api.pages import PageQuery, page
from controlplane.auth.callers import PersonCaller
from controlplane.tenants.models import Tenant
from jobs.api import change_feed
from jobs.models import Job
from jobs.states import State

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request
    from rest_framework.response import Response

    from controlplane.auth.callers import ServiceCaller
    from controlplane.reach import Reach, Reached

#: What a line of the list is made of: all but what is large, sealed, or our own.
COLUMNS = (
    "key", "tenant_id", "pod_name", "pod_namespace", "state", "reason", "message", "cpus", "memory", "gpus",
    "gpu_kind", "time_limit", "created_at", "submitted_at", "started_at", "ended_at", "changed_at",
    "cancel_requested_at", "node__slug", "site__slug", "site__name", "person__name", "service__slug",
)  # fmt: skip
EXAMPLE = {
    "key": "7b1f4f8a2c9e0d5b6a73c1e8f4920d6b5a3c7e19",
    "name": "train-42",
    "namespace": "default",
    "tenant": "climate",
    "site": "vega",
    "node": None,
    "submitted_by": {"kind": "person", "name": "Alice Example"},
    "state": "pending",
    "reason": "Priority",
    "message": "Jobs of higher priority are before it.",
    "cpus": 32,
    "memory": 137438953472,
    "gpus": 1,
    "gpu_kind": "a100",
    "time_limit": 7200,
    "created_at": "2026-11-25T09:00:00Z",
    "submitted_at": "2026-11-25T09:00:01Z",
    "started_at": None,
    "ended_at": None,
    "changed_at": "2026-11-25T09:00:06Z",
    "cancelling": False,
}


class SubmitterOut(serializers.Serializer[Any]):
    """Who submitted a job without a cluster."""

    kind = serializers.ChoiceField(choices=["person", "service"])
    name = serializers.CharField()


class JobOut(serializers.Serializer[Any]):
    """A job: one pod, and what became of it."""

    key = serializers.CharField(help_text="its name here, as in its address")
    name = serializers.CharField(help_text="the pod's")
    namespace = serializers.CharField(help_text="the pod's")
    tenant = serializers.CharField(allow_null=True)
    site = serializers.CharField(allow_null=True, help_text="null until it is placed")
    node = serializers.CharField(allow_null=True, help_text="the virtual node that it came through, if it did")
    submitted_by = SubmitterOut(allow_null=True)
    state = serializers.ChoiceField(choices=[state.value for state in State])
    reason = serializers.CharField(help_text="one word on why it waits or how it ended")
    message = serializers.CharField(help_text="the same as a sentence")
    cpus = serializers.IntegerField()
    memory = serializers.IntegerField(help_text="bytes; 0 leaves it to the site")
    gpus = serializers.IntegerField()
    gpu_kind = serializers.CharField(help_text="empty: of any kind")
    time_limit = serializers.IntegerField(allow_null=True, help_text="seconds")
    created_at = serializers.DateTimeField()
    submitted_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    changed_at = serializers.DateTimeField()
    cancelling = serializers.BooleanField(help_text="somebody wishes it to end, and it has not ended yet")


class JobQuery(PageQuery):
    """Filters; all that are given must fit."""

    cursor = serializers.CharField(max_length=80, required=False, help_text="from `next` of the page before")
    tenant = serializers.SlugField(required=False)
    site = serializers.SlugField(required=False)
    node = serializers.SlugField(required=False)
    state = serializers.ListField(
        child=serializers.ChoiceField(choices=[state.value for state in State]),
        required=False,
        help_text="any of these: give it several times",
    )
    namespace = serializers.CharField(max_length=63, required=False)
    name = serializers.CharField(max_length=253, required=False, help_text="contained in the pod's name")
    mine = serializers.BooleanField(required=False, help_text="true: those that you have submitted yourself")
    created_from = serializers.DateTimeField(required=False)
    created_until = serializers.DateTimeField(required=False)
    ended_from = serializers.DateTimeField(required=False)
    ended_until = serializers.DateTimeField(required=False)
    changed_since = serializers.DateTimeField(
        required=False,
        help_text="in the order of their last changes, from this time on; `next` is never null then, and goes on where "
        "this page ends: ask it again later for what has changed meanwhile",
    )


LIST_EXAMPLE = OpenApiExample("jobs", {"items": [EXAMPLE], "next": None}, response_only=True)


def answer(request: Request, reach: Reach, caller: PersonCaller | ServiceCaller) -> Response:
    """One page of what the caller may see and asks for."""
    query = asked(request, JobQuery)
    rows = for_list(_matching(Job.objects.within(reach), query, caller))
    if "changed_since" in query:
        return change_feed.page(request, rows, query, shown)
    return page(request, rows, query, shown)


def for_list(jobs: Reached[Job]) -> Reached[Job]:
    """With all that `shown` needs: one statement, however many there are."""
    # Not a join: what a site's operator cannot see of a tenant must not hide the job.
    slug = Tenant.objects.filter(pk=OuterRef("tenant_id")).values("slug")[:1]
    return jobs.annotate(tenant_slug=Subquery(slug)).select_related("node", "site", "person", "service").only(*COLUMNS)


def shown(job: Any) -> dict[str, Any]:
    """A row of `for_list`, as JobOut has it."""
    return {
        "key": job.key,
        "name": job.pod_name,
        "namespace": job.pod_namespace,
        "tenant": job.tenant_slug,
        "site": job.site.slug if job.site else None,
        "node": job.node.slug if job.node else None,
        "submitted_by": _submitter(job),
        **{name: getattr(job, name) for name in _PLAIN},
        "cancelling": job.cancel_requested_at is not None and job.ended_at is None,
    }


_PLAIN = (
    "state", "reason", "message", "cpus", "memory", "gpus", "gpu_kind", "time_limit", "created_at", "submitted_at",
    "started_at", "ended_at", "changed_at",
)  # fmt: skip


def _submitter(job: Job) -> dict[str, str] | None:
    if job.person is not None:
        return {"kind": "person", "name": job.person.name}
    if job.service is not None:
        return {"kind": "service", "name": job.service.slug}
    return None


_FILTERS = {
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


def _matching(jobs: Reached[Job], query: Mapping[str, Any], caller: PersonCaller | ServiceCaller) -> Reached[Job]:
    jobs = jobs.filter(**{column: query[name] for name, column in _FILTERS.items() if name in query})
    if "mine" in query:
        jobs = jobs.filter(own(caller)) if query["mine"] else jobs.exclude(own(caller))
    return jobs


def own(caller: PersonCaller | ServiceCaller) -> Q:
    """The jobs that the caller has submitted itself."""
    if isinstance(caller, PersonCaller):
        return Q(person=caller.person_id)
    return Q(pk__in=[]) if caller.service_id is None else Q(service=caller.service_id)
