"""/tenants/<tenant>/service-accounts: programs that call the API for a tenant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import Input, asked, given
from controlplane.api.idempotency import idempotent
from controlplane.api.pages import PageQuery, page, pages_of, shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action
from controlplane.tenants import administration, queries
from controlplane.tenants.models import Membership, ServiceAccount

if TYPE_CHECKING:
    from rest_framework.request import Request


class ServiceAccountOut(serializers.ModelSerializer[ServiceAccount]):
    class Meta:
        model = ServiceAccount
        fields = read_only_fields = ["slug", "name", "role", "enabled", "created_at"]


class ServiceAccountIn(Input):
    slug = serializers.SlugField(max_length=63)
    name = serializers.CharField(max_length=200, required=False, allow_blank=True, default="")
    role = serializers.ChoiceField(Membership.Role.choices, default=Membership.Role.MEMBER)


class ServiceAccountChange(Input):
    name = serializers.CharField(max_length=200, required=False, allow_blank=True)
    role = serializers.ChoiceField(Membership.Role.choices, required=False)
    enabled = serializers.BooleanField(required=False, help_text="false: its tokens are refused")


_EXAMPLE = OpenApiExample("a service account", {"slug": "pipeline", "name": "Nightly pipeline"}, request_only=True)


class ServiceView(ApiView):
    def service(self, tenant: str, slug: str) -> ServiceAccount:
        """Returns the service account of this address. Raises NotFound if there is none within reach."""
        return queries.service_account(queries.tenant(self.reach, tenant), slug)


class ServiceAccounts(ServiceView):
    actions = {"GET": Action.SERVICES_READ, "POST": Action.SERVICES_CHANGE}

    @operation(
        "listServiceAccounts", "List a tenant's service accounts", query=PageQuery, answers=pages_of(ServiceAccountOut)
    )
    def get(self, request: Request, tenant: str) -> Response:
        rows = queries.service_accounts(queries.tenant(self.reach, tenant))
        return page(request, rows, asked(request, PageQuery), ServiceAccountOut)

    @operation(
        "createServiceAccount",
        "Create a service account",
        takes=ServiceAccountIn,
        answers={201: ServiceAccountOut},
        errors=[409],
        examples=[_EXAMPLE],
    )
    @idempotent
    def post(self, request: Request, tenant: str) -> Response:
        row = administration.create_service(queries.tenant(self.reach, tenant), **given(request, ServiceAccountIn))
        return Response(shown(ServiceAccountOut, row), status=201)


class OneServiceAccount(ServiceView):
    actions = {"GET": Action.SERVICES_READ, "PATCH": Action.SERVICES_CHANGE}

    @operation("getServiceAccount", "See a service account", answers=ServiceAccountOut)
    def get(self, request: Request, tenant: str, account: str) -> Response:
        return Response(shown(ServiceAccountOut, self.service(tenant, account)))

    @operation(
        "changeServiceAccount", "Change a service account", takes=ServiceAccountChange, answers=ServiceAccountOut
    )
    def patch(self, request: Request, tenant: str, account: str) -> Response:
        row = self.service(tenant, account)
        changed = administration.change_row(
            "service", row, given(request, ServiceAccountChange), tenant_id=row.tenant_id
        )
        return Response(shown(ServiceAccountOut, changed))
