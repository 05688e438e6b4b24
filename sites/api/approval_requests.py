"""/requests: tenants ask for allocations and extensions, operators decide."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import Input, asked, given
from controlplane.api.idempotency import idempotent
from controlplane.api.pages import PageQuery, page, pages_of, shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from controlplane.errors import Invalid
from controlplane.tenants import queries
from controlplane.tenants.models import ApprovalRequest, Tenant
from sites import approvals
from sites.api.allocation_terms import TermsIn, as_json
from sites.queries import site_anywhere

if TYPE_CHECKING:
    from rest_framework.request import Request

    from controlplane.tenants.models import Person

_LONGEST = 4000
_LARGEST = 2**63 - 1
_EXAMPLE = {
    "id": 7,
    "tenant": "climate",
    "site": "vega",
    "kind": "extension",
    "subject": 12,
    "payload": {"gpu_hours": 1000},
    "justification": "The second half of the reanalysis.",
    "asked_by": "Alice Example",
    "asked_at": "2026-11-20T10:00:00Z",
    "state": "changed",
    "decision": {"gpu_hours": 800},
    "reason": "As much as is left of this year.",
    "decided_by": "Vera Example",
    "decided_at": "2026-11-21T08:00:00Z",
}


class RequestOut(serializers.Serializer[Any]):
    """A tenant's request, and the decision."""

    id = serializers.IntegerField()
    tenant = serializers.CharField(source="tenant_slug", allow_null=True)
    site = serializers.CharField()
    kind = serializers.ChoiceField(choices=list(approvals.KINDS))
    subject = serializers.IntegerField(
        allow_null=True, help_text="the allocation to extend, or the one that was granted"
    )
    payload = serializers.DictField(help_text="the requested terms")
    justification = serializers.CharField()
    asked_by = serializers.CharField(source="asked_by.name", allow_null=True)
    asked_at = serializers.DateTimeField()
    state = serializers.ChoiceField(choices=ApprovalRequest.State.values)
    decision = serializers.DictField(allow_null=True, help_text="the granted terms")
    reason = serializers.CharField()
    decided_by = serializers.CharField(source="decided_by.name", allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)


class RequestIn(Input):
    """A new request."""

    kind = serializers.ChoiceField(
        choices=list(approvals.KINDS),
        help_text="allocation: the tenant's first at the site; extension: other terms for an allocation",
    )
    tenant = serializers.SlugField(max_length=63)
    site = serializers.SlugField(max_length=63)
    subject = serializers.IntegerField(
        min_value=1,
        max_value=_LARGEST,
        required=False,
        allow_null=True,
        help_text="for an extension: the allocation's id",
    )
    payload = TermsIn(help_text="the requested terms")
    justification = serializers.CharField(max_length=_LONGEST, required=False, allow_blank=True, default="")


class DecisionIn(Input):
    """A decision on a request."""

    grant = serializers.BooleanField(help_text="true: grant the request; false: decline it, with a reason")
    reason = serializers.CharField(max_length=_LONGEST, required=False, allow_blank=True, default="")
    payload = TermsIn(required=False, help_text="the terms to grant instead of the requested ones")


class RequestQuery(PageQuery):
    """Filters for requests."""

    state = serializers.ListField(
        child=serializers.ChoiceField(choices=ApprovalRequest.State.values), required=False, help_text="any of these"
    )
    kind = serializers.ChoiceField(choices=list(approvals.KINDS), required=False)
    tenant = serializers.SlugField(max_length=63, required=False)
    site = serializers.SlugField(max_length=63, required=False)


class RequestView(ApiView):
    """The base of the views that answer with one request."""

    def answer(self, pk: int, *, status: int = 200) -> Response:
        """Respond with the request's current state. Raises NotFound if the caller cannot see one with this id."""
        return Response(shown(RequestOut, queries.request(self.reach, pk)), status=status)

    def person(self) -> Person | None:
        """Return the calling person, None if the caller is a service account."""
        return queries.person(self.caller.person_id)


class Requests(RequestView):
    """Lists and creates requests."""

    actions = {"GET": Action.REQUESTS_READ, "POST": Action.REQUESTS_ASK}

    @operation(
        "listRequests",
        "List the requests",
        answers=pages_of(RequestOut),
        query=RequestQuery,
        examples=[OpenApiExample("requests", {"items": [_EXAMPLE], "next": None}, response_only=True)],
    )
    def get(self, request: Request) -> Response:
        query = asked(request, RequestQuery)
        return page(request, queries.requests(self.reach, query), query, RequestOut)

    @operation(
        "ask",
        "Ask for an allocation or an extension",
        takes=RequestIn,
        answers={201: RequestOut},
        errors=[409],
        examples=[
            OpenApiExample(
                "a first allocation",
                {
                    "kind": "allocation",
                    "tenant": "climate",
                    "site": "vega",
                    "payload": {"cpus": 256, "cpu_hours": 9000},
                },
                request_only=True,
            )
        ],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """An operator of the site or of the federation decides on the request."""
        values = given(request, RequestIn)
        site = site_anywhere(values["site"])
        if site is None:
            raise Invalid({"site": f"There is no site {values['site']}."})
        tenant = Tenant.objects.within(self.reach).one_or_none(slug=values["tenant"])
        if tenant is None:
            raise Invalid({"tenant": f"There is no tenant {values['tenant']} here."})
        row = approvals.ask(
            values["kind"],
            tenant=tenant,
            person=self.person(),
            site=site,
            payload=as_json(values["payload"]),
            subject=values.get("subject"),
            justification=values["justification"],
        )
        return self.answer(row.pk, status=201)


class OneRequest(RequestView):
    """Shows one request."""

    actions = {"GET": Action.REQUESTS_READ}

    @operation(
        "getRequest",
        "See a request",
        answers=RequestOut,
        examples=[OpenApiExample("a decided request", _EXAMPLE, response_only=True)],
    )
    def get(self, request: Request, number: int) -> Response:
        return self.answer(number)


class DecideRequest(RequestView):
    """Decides on a request."""

    actions = {"POST": Action.REQUESTS_DECIDE}

    @operation("decideRequest", "Grant or decline a request", takes=DecisionIn, answers=RequestOut, errors=[409])
    def post(self, request: Request, number: int) -> Response:
        """Grant it on the requested terms, or on those in `payload`, or decline it. A grant takes effect at once."""
        row, values = queries.request(self.reach, number), given(request, DecisionIn)
        payload = as_json(values["payload"]) if "payload" in values else None
        approvals.decide(row, person=self.person(), grant=values["grant"], reason=values["reason"], payload=payload)
        return self.answer(number)


class WithdrawRequest(RequestView):
    """Withdraws a request for its tenant."""

    actions = {"POST": Action.REQUESTS_ASK}

    @operation("withdrawRequest", "Withdraw a request", answers=RequestOut, errors=[409])
    def post(self, request: Request, number: int) -> Response:
        approvals.withdraw(queries.request(self.reach, number), person=self.person())
        return self.answer(number)
