"""/allocations: what a tenant may use at a site, and how much is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import asked, given
from controlplane.api.idempotency import idempotent
from controlplane.api.pages import PageQuery, page, pages_of, shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from controlplane.errors import Invalid
from controlplane.tenants.queries import tenant_id_anywhere
from sites import allocations, queries
from sites.api import allocation_json
from sites.api.allocation_json import AllocationOut
from sites.api.allocation_terms import TermsIn
from sites.models import Site

if TYPE_CHECKING:
    from rest_framework.request import Request

_ANSWER = OpenApiExample("an allocation", allocation_json.EXAMPLE, response_only=True)
_GRANT = OpenApiExample(
    "two GPUs for a year",
    {
        "tenant": "climate",
        "site": "vega",
        "gpus": {"a100": 2},
        "gpu_hours": 500,
        "valid_until": "2027-12-31T23:59:59Z",
        "local_account": "climate01",
    },
    request_only=True,
)


class AllocationIn(TermsIn):
    """A tenant, a site, and the terms of the allocation."""

    tenant = serializers.SlugField(max_length=63)
    site = serializers.SlugField(max_length=63)


class AllocationChange(TermsIn):
    """The terms that change."""

    enabled = serializers.BooleanField(required=False, help_text="true: enable a revoked allocation again")


class AllocationQuery(PageQuery):
    """Filters for allocations."""

    tenant = serializers.SlugField(max_length=63, required=False)
    site = serializers.SlugField(max_length=63, required=False)


class AllocationView(ApiView):
    """The base of the views that answer with one allocation."""

    def answer(self, pk: int, *, status: int = 200) -> Response:
        """Respond with the allocation's current state. Raises NotFound if the caller cannot see one with this id."""
        found = queries.allocation(self.reach, pk)
        return Response(shown(AllocationOut, found, now=timezone.now()), status=status)


class Allocations(AllocationView):
    """Lists and grants allocations."""

    actions = {"GET": Action.ALLOCATIONS_READ, "POST": Action.ALLOCATIONS_CHANGE}

    @operation(
        "listAllocations",
        "List the allocations, with what is in use",
        answers=pages_of(AllocationOut),
        query=AllocationQuery,
        examples=[
            OpenApiExample("allocations", {"items": [allocation_json.EXAMPLE], "next": None}, response_only=True)
        ],
    )
    def get(self, request: Request) -> Response:
        query = asked(request, AllocationQuery)
        return page(request, queries.allocations(self.reach, query), query, AllocationOut, now=timezone.now())

    @operation(
        "grantAllocation",
        "Give a tenant an allocation at a site",
        takes=AllocationIn,
        answers={201: AllocationOut},
        errors=[409],
        examples=[_GRANT],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """If the tenant had an allocation at the site and it was revoked, it is enabled again on these terms."""
        terms = given(request, AllocationIn)
        tenant_slug, site_slug = terms.pop("tenant"), terms.pop("site")
        # A site's operator need not see a tenant to give it its first allocation there.
        tenant_id = tenant_id_anywhere(tenant_slug)
        if tenant_id is None:
            raise Invalid({"tenant": f"There is no tenant {tenant_slug}."})
        site = Site.objects.within(self.reach).one_or_none(slug=site_slug)
        if site is None:
            raise Invalid({"site": f"There is no site {site_slug} that you operate."})
        return self.answer(allocations.grant(tenant_id, site, terms).pk, status=201)


class OneAllocation(AllocationView):
    """Shows and changes one allocation."""

    actions = {"GET": Action.ALLOCATIONS_READ, "PATCH": Action.ALLOCATIONS_CHANGE}

    @operation("getAllocation", "See an allocation", answers=AllocationOut, examples=[_ANSWER])
    def get(self, request: Request, allocation: int) -> Response:
        return self.answer(allocation)

    @operation("changeAllocation", "Change an allocation", takes=AllocationChange, answers=AllocationOut)
    def patch(self, request: Request, allocation: int) -> Response:
        """A lower limit ends no running job: new jobs wait until the use is below it."""
        allocations.change(queries.allocation(self.reach, allocation), given(request, AllocationChange))
        return self.answer(allocation)


class RevokeAllocation(AllocationView):
    """Revokes an allocation."""

    actions = {"POST": Action.ALLOCATIONS_CHANGE}

    @operation("revokeAllocation", "Revoke an allocation", answers=AllocationOut)
    def post(self, request: Request, allocation: int) -> Response:
        """New jobs wait; running jobs continue."""
        allocations.revoke(queries.allocation(self.reach, allocation))
        return self.answer(allocation)
