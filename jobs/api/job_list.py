"""/jobs: lists jobs, newest first or in the order of their last changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers

from controlplane.api.bodies import asked
from controlplane.api.pages import PageQuery, page
from jobs import queries
from jobs.api.change_feed import change_page
from jobs.states import State

if TYPE_CHECKING:
    from rest_framework.request import Request
    from rest_framework.response import Response

    from controlplane.auth.callers import PersonCaller, ServiceCaller
    from controlplane.reach import Reach
    from jobs.models import Job

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
    """The person or service account that submitted a job through the API."""

    kind = serializers.ChoiceField(choices=["person", "service"])
    name = serializers.CharField()

    def to_representation(self, job: Job) -> Any:
        """Shows the submitter of a job; None where a virtual node sent it."""
        if job.person is not None:
            return {"kind": "person", "name": job.person.name}
        return None if job.service is None else {"kind": "service", "name": job.service.slug}


class JobOut(serializers.Serializer[Any]):
    """A job: one pod and its state."""

    key = serializers.CharField(help_text="its name here, as in its address")
    name = serializers.CharField(source="pod_name", help_text="the pod's")
    namespace = serializers.CharField(source="pod_namespace", help_text="the pod's")
    tenant = serializers.CharField(source="tenant_slug", allow_null=True)
    site = serializers.CharField(source="site.slug", allow_null=True, help_text="null until it has a site")
    node = serializers.CharField(
        source="node.slug", allow_null=True, help_text="the virtual node that sent it; null if none did"
    )
    submitted_by = SubmitterOut(source="*", allow_null=True)
    state = serializers.ChoiceField(choices=[state.value for state in State])
    reason = serializers.CharField(help_text="one word: why it waits, or how it ended")
    message = serializers.CharField(help_text="the same as a sentence")
    cpus = serializers.IntegerField()
    memory = serializers.IntegerField(help_text="bytes; 0 leaves it to the site")
    gpus = serializers.IntegerField()
    gpu_kind = serializers.CharField(help_text="empty means any kind")
    time_limit = serializers.IntegerField(allow_null=True, help_text="seconds")
    created_at = serializers.DateTimeField()
    submitted_at = serializers.DateTimeField(allow_null=True)
    started_at = serializers.DateTimeField(allow_null=True)
    ended_at = serializers.DateTimeField(allow_null=True)
    changed_at = serializers.DateTimeField()
    cancelling = serializers.BooleanField(
        source="is_cancelling", help_text="somebody asked to cancel it, and it has not ended yet"
    )


class JobQuery(PageQuery):
    """Filters. A job must fit all that are given."""

    cursor = serializers.CharField(max_length=80, required=False, help_text="from `next` of the page before")
    tenant = serializers.SlugField(required=False)
    site = serializers.SlugField(required=False)
    node = serializers.SlugField(required=False)
    state = serializers.ListField(
        child=serializers.ChoiceField(choices=[state.value for state in State]),
        required=False,
        help_text="any of these states; may be given several times",
    )
    namespace = serializers.CharField(max_length=63, required=False)
    name = serializers.CharField(max_length=253, required=False, help_text="a part of the pod's name")
    mine = serializers.BooleanField(
        required=False, help_text="true: jobs that you submitted yourself; false: all others"
    )
    created_from = serializers.DateTimeField(required=False)
    created_until = serializers.DateTimeField(required=False)
    ended_from = serializers.DateTimeField(required=False)
    ended_until = serializers.DateTimeField(required=False)
    changed_since = serializers.DateTimeField(
        required=False,
        help_text="lists jobs that changed at this time or later, in the order of their last changes; `next` is then "
        "never null: ask it again later for newer changes",
    )


LIST_EXAMPLE = OpenApiExample("jobs", {"items": [EXAMPLE], "next": None}, response_only=True)


def job_page(request: Request, reach: Reach, caller: PersonCaller | ServiceCaller) -> Response:
    """One page of the jobs that the caller may see and that fit the query."""
    query = asked(request, JobQuery)
    rows = queries.jobs(reach, query, caller)
    if "changed_since" in query:
        return change_page(request, rows, query, JobOut)
    return page(request, rows, query, JobOut)
