"""/allocations: what a tenant may use at a site, and how much of it is in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db.models import OuterRef, Subquery
from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import asked, given
from controlplane.api.idempotency import idempotent
from controlplane.api.pages import PageQuery, page, pages_of
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from controlplane.errors import Invalid, NotFound
from controlplane.tenants.models import Tenant
from controlplane.tenants.scope import seeing_everything
from sites import allocations
from sites.api import allocation_json
from sites.api.allocation_json import AllocationOut
from sites.api.allocation_terms import TermsIn
from sites.models import Allocation, Site

if TYPE_CHECKING:
    from django.db.models import QuerySet
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
    """A tenant, a site, and the terms."""

    tenant = serializers.SlugField(max_length=63)
    site = serializers.SlugField(max_length=63)


class AllocationChange(TermsIn):
    """The terms that change."""

    enabled = serializers.BooleanField(required=False, help_text="true: given again after it was revoked")


class AllocationQuery(PageQuery):
    """Filters."""

    tenant = serializers.SlugField(max_length=63, required=False)
    site = serializers.SlugField(max_length=63, required=False)


class AllocationView(ApiView):
    """What is within reach."""

    def allocations(self) -> QuerySet[Any]:
        """With all that an answer needs, in one statement."""
        tenant = Tenant.objects.filter(pk=OuterRef("tenant_id"))  # not a join: it must not hide the row
        return (
            Allocation.objects.within(self.reach)
            .select_related("site")
            .defer("site__config", "site__credential")
            .annotate(tenant_slug=Subquery(tenant.values("slug")[:1]), tenant_name=Subquery(tenant.values("name")[:1]))
        )

    def allocation(self, pk: int) -> Any:
        """NotFound where there is none of this id within reach."""
        found = self.allocations().filter(pk=pk).first()
        if found is None:
            raise NotFound(f"There is no allocation {pk} here.")
        return found

    def told(self, pk: int, *, status: int = 200) -> Response:
        return Response(allocation_json.shown(self.allocation(pk), now=timezone.now()), status=status)


class Allocations(AllocationView):
    """All of them, and new ones."""

    actions = {"GET": Action.ALLOCATIONS_READ, "POST": Action.ALLOCATIONS_CHANGE}

    @operation(
        "listAllocations",
        "List the allocations, with what is used of them",
        answers=pages_of(AllocationOut),
        query=AllocationQuery,
        examples=[
            OpenApiExample("allocations", {"items": [allocation_json.EXAMPLE], "next": None}, response_only=True)
        ],
    )
    def get(self, request: Request) -> Response:
        query = asked(request, AllocationQuery)
        rows = self.allocations()
        for name in ("tenant", "site"):
            if name in query:
                rows = rows.filter(**{f"{name}__slug": query[name]})
        now = timezone.now()
        return page(request, rows, query, lambda row: allocation_json.shown(row, now=now))

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
        """One that was revoked is given again on these terms."""
        terms = given(request, AllocationIn)
        tenant, site = _tenant(terms.pop("tenant")), self._site(terms.pop("site"))
        return self.told(allocations.grant(tenant, site, terms).pk, status=201)

    def _site(self, slug: str) -> Site:
        found = Site.objects.within(self.reach).filter(slug=slug).first()
        if found is None:
            raise Invalid({"site": f"There is no site {slug} that you operate."})
        return found


class OneAllocation(AllocationView):
    """One of them."""

    actions = {"GET": Action.ALLOCATIONS_READ, "PATCH": Action.ALLOCATIONS_CHANGE}

    @operation("getAllocation", "See an allocation", answers=AllocationOut, examples=[_ANSWER])
    def get(self, request: Request, allocation: int) -> Response:
        return self.told(allocation)

    @operation("changeAllocation", "Change an allocation", takes=AllocationChange, answers=AllocationOut)
    def patch(self, request: Request, allocation: int) -> Response:
        """Lower limits end nothing that runs: what is over them holds what comes next."""
        allocations.change(self.allocation(allocation), given(request, AllocationChange))
        return self.told(allocation)


class RevokeAllocation(AllocationView):
    """The end of one."""

    actions = {"POST": Action.ALLOCATIONS_CHANGE}

    @operation("revokeAllocation", "Revoke an allocation", answers=AllocationOut)
    def post(self, request: Request, allocation: int) -> Response:
        """Nothing new starts under it; what runs may finish."""
        allocations.revoke(self.allocation(allocation))
        return self.told(allocation)


def _tenant(slug: str) -> int:
    """Its id. A site's operator need not see a tenant to give it its first allocation there."""
    with seeing_everything():
        found = Tenant.objects.filter(slug=slug).values_list("pk", flat=True).first()
    if found is None:
        raise Invalid({"tenant": f"There is no tenant {slug}."})
    return found
