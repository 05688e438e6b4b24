"""POST /jobs/explain: says what would happen to a pod at each of a tenant's sites. Submits nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import asked
from controlplane.api.pages import shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from jobs.api.job_submit import EXAMPLES, MANIFEST, SubmitQuery, body_of, tenant_of
from jobs.api.manifest_parsers import PARSERS
from jobs.placement import explain

if TYPE_CHECKING:
    from rest_framework.request import Request

_EXAMPLE = {
    "tenant": "climate",
    "sites": [
        {
            "site": "vega",
            "site_name": "Vega",
            "verdict": "waits",
            "reason": "QuotaExceeded",
            "message": "Climate uses 7 of 8 a100 GPUs at Vega, and the pod asks for 2.",
            "limit": "gpus a100",
            "used": 7,
            "asked": 2,
            "allowed": 8,
            "frees_at": "2026-11-25T15:00:00Z",
            "partition": "gpu",
            "time_limit": 7200,
            "cpus": 32,
            "memory": 137438953472,
            "gpus": 2,
            "gpu_kind": "a100",
            "cpu_hours": 64.0,
            "gpu_hours": 4.0,
        }
    ],
}


class VerdictOut(serializers.Serializer[Any]):
    """What would happen to the pod at one site."""

    site = serializers.CharField()
    site_name = serializers.CharField()
    verdict = serializers.ChoiceField(
        choices=["fits", "waits", "refused"], help_text="it would start now, be held, or be refused"
    )
    reason = serializers.CharField()
    message = serializers.CharField(help_text="why, as a sentence; empty where it fits")
    limit = serializers.CharField(allow_null=True, help_text="the limit that is in its way")
    used = serializers.IntegerField(
        allow_null=True, help_text="what is in use of that limit; memory in bytes, a budget in seconds"
    )
    asked = serializers.IntegerField(allow_null=True)
    allowed = serializers.IntegerField(allow_null=True)
    frees_at = serializers.DateTimeField(allow_null=True, help_text="when the wait ends by itself, if that is known")
    partition = serializers.CharField()
    time_limit = serializers.IntegerField(allow_null=True, help_text="seconds")
    cpus = serializers.IntegerField(allow_null=True)
    memory = serializers.IntegerField(allow_null=True, help_text="bytes")
    gpus = serializers.IntegerField(allow_null=True)
    gpu_kind = serializers.CharField()
    cpu_hours = serializers.FloatField(allow_null=True, help_text="what would be reserved of the budget")
    gpu_hours = serializers.FloatField(allow_null=True)


class ExplanationOut(serializers.Serializer[Any]):
    """A verdict for each site at which the tenant has an allocation, or for the requested site only."""

    tenant = serializers.CharField()
    sites = VerdictOut(many=True)


class ExplainJob(ApiView):
    """Explains what would happen to a pod."""

    actions = {"POST": Action.JOBS_SUBMIT}
    parser_classes = PARSERS

    @operation(
        "explainJob",
        "Ask what would happen to a pod, without submitting it",
        answers=ExplanationOut,
        takes=MANIFEST,
        query=SubmitQuery,
        errors=[404, 422],
        examples=[*EXAMPLES, OpenApiExample("a verdict", _EXAMPLE, response_only=True)],
    )
    def post(self, request: Request) -> Response:
        """Uses the same rules as submitting it now: which sites fit or why not, which limit is in the way, and what
        would be charged. Stores nothing."""
        query = asked(request, SubmitQuery)
        tenant = tenant_of(self.reach, query)
        body = body_of(request, tenant)
        found = explain.explain(body, tenant_id=tenant.pk, site_slug=query.get("site"), now=timezone.now())
        return Response(shown(ExplanationOut, {"tenant": tenant.slug, "sites": found}))
