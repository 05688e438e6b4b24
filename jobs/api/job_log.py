"""/jobs/<key>/log: streams a container's output as raw text, while it is written and after."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse
from rest_framework import serializers

from controlplane.answers import FirstOrAsked, PlainText
from controlplane.api.bodies import Input, asked
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.authentication import caller_again
from controlplane.auth.roles import Action
from controlplane.tenants.scope import seeing_reach
from jobs import logs, queries

if TYPE_CHECKING:
    from rest_framework.request import Request

_MOST = 2**53 - 1
#: Our names of the options -> the kubelet's names, which `logs.parse_options` understands.
_OPTIONS = {
    "follow": "Follow",
    "tail": "Tail",
    "since_seconds": "SinceSeconds",
    "timestamps": "Timestamps",
    "bytes": "Bytes",
}


class LogQuery(Input):
    """Which container's output, and how much of it."""

    container = serializers.CharField(
        max_length=63, required=False, help_text="not needed if the pod has only one container"
    )
    follow = serializers.BooleanField(default=False, help_text="continue until the container has ended")
    tail = serializers.IntegerField(min_value=0, max_value=_MOST, required=False, help_text="only the last lines")
    since_seconds = serializers.IntegerField(
        min_value=0, max_value=10**9, required=False, help_text="only what was written in the last seconds"
    )
    timestamps = serializers.BooleanField(default=False, help_text="each line begins with its time")
    bytes = serializers.IntegerField(
        min_value=0,
        max_value=_MOST,
        required=False,
        help_text="only the first bytes of what the other options leave; not with tail",
    )


class JobLog(ApiView):
    """The log of one container of a job."""

    http_method_names = ["get"]  # no HEAD: it would follow the log and answer nothing
    actions = {"GET": Action.JOBS_READ}
    renderer_classes = [PlainText]
    content_negotiation_class = FirstOrAsked

    @operation(
        "readJobLog",
        "A container's output",
        answers={(200, "text/plain"): OpenApiResponse(OpenApiTypes.BINARY, "the container's bytes, as they are")},
        query=LogQuery,
    )
    def get(self, request: Request, key: str) -> StreamingHttpResponse:
        """Reads at the site while the job is there. Logs are kept for a while after the job has ended. For tail,
        since_seconds and bytes, 0 means no limit. A tenant may follow a few logs at the same time."""
        query = asked(request, LogQuery)
        opts = {kubelet_name: query[name] for name, kubelet_name in _OPTIONS.items() if name in query}
        options = logs.parse_options(opts, now=timezone.now())
        job = queries.job_for_log(self.reach, key)
        container = logs.container_of(job, query.get("container"))
        self.close_rows()
        stream = logs.open_log(job, container, options, may_read=lambda: self._may_read(request, key))
        # No charset: these are the container's bytes, whatever they are.
        return StreamingHttpResponse(stream, content_type="text/plain", headers={"X-Content-Type-Options": "nosniff"})

    def _may_read(self, request: Request, key: str) -> bool:
        """Whether the caller may still read the job, by the rows of this moment."""
        caller = caller_again(request, self.caller)
        reach = caller.rights.reach(Action.JOBS_READ)
        with seeing_reach(reach, person=caller.person_id):
            return queries.job_exists(reach, key)
