"""/tenants: the tenants within the caller's reach."""

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
from controlplane.tenants.models import Tenant

if TYPE_CHECKING:
    from rest_framework.request import Request


class TenantOut(serializers.ModelSerializer[Tenant]):
    class Meta:
        model = Tenant
        fields = read_only_fields = ["slug", "name", "enabled", "created_at"]


class TenantIn(Input):
    slug = serializers.SlugField(max_length=63)
    name = serializers.CharField(max_length=200)


class TenantChange(Input):
    name = serializers.CharField(max_length=200, required=False)
    enabled = serializers.BooleanField(
        required=False, help_text="false: its tokens are refused, and no job starts; running jobs continue"
    )


class TenantQuery(PageQuery):
    search = serializers.CharField(max_length=100, required=False, help_text="a part of the slug or the name")


_EXAMPLE = OpenApiExample("a tenant", {"slug": "chemistry", "name": "Computational Chemistry"}, request_only=True)


class Tenants(ApiView):
    actions = {"GET": Action.TENANTS_READ, "POST": Action.TENANTS_CHANGE}

    @operation("listTenants", "List the tenants", query=TenantQuery, answers=pages_of(TenantOut))
    def get(self, request: Request) -> Response:
        query = asked(request, TenantQuery)
        return page(request, queries.tenants(self.reach, search=query.get("search", "")), query, TenantOut)

    @operation(
        "createTenant", "Create a tenant", takes=TenantIn, answers={201: TenantOut}, errors=[409], examples=[_EXAMPLE]
    )
    @idempotent
    def post(self, request: Request) -> Response:
        return Response(shown(TenantOut, administration.create_tenant(**given(request, TenantIn))), status=201)


class OneTenant(ApiView):
    actions = {"GET": Action.TENANTS_READ, "PATCH": Action.TENANTS_CHANGE}

    @operation("getTenant", "See a tenant", answers=TenantOut)
    def get(self, request: Request, tenant: str) -> Response:
        return Response(shown(TenantOut, queries.tenant(self.reach, tenant)))

    @operation("changeTenant", "Rename or disable a tenant", takes=TenantChange, answers=TenantOut)
    def patch(self, request: Request, tenant: str) -> Response:
        row = queries.tenant(self.reach, tenant)
        changed = administration.change_row("tenant", row, given(request, TenantChange), tenant_id=row.pk)
        return Response(shown(TenantOut, changed))
