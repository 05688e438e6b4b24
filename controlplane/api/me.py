"""/me: the caller's identity, roles, tenants and scopes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.pages import shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.tokens import delegation
from controlplane.reach import Reach
from controlplane.tenants import queries

if TYPE_CHECKING:
    from rest_framework.request import Request


class MyRoleOut(serializers.Serializer[Any]):
    role = serializers.CharField(help_text="one of the roles in docs/roles.md")
    site = serializers.CharField(help_text="the site's slug; empty for the federation's roles")


class MyTenantOut(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())


class MyTokenOut(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    hint = serializers.CharField(help_text="its first characters")
    tenant = serializers.CharField(
        source="tenant.slug", allow_null=True, help_text="the only tenant that it is for; null: all"
    )
    expires_at = serializers.DateTimeField()


class MeOut(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["person", "service"])
    name = serializers.CharField()
    issuer = serializers.CharField(help_text="a person's identity provider; empty for others")
    subject = serializers.CharField(help_text="a person's id at the issuer; empty for others")
    roles = MyRoleOut(many=True)
    tenants = MyTenantOut(many=True)
    scopes = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="what the token may be used for; null: everything that the caller may do",
    )
    token = MyTokenOut(allow_null=True, help_text="the Isthmus token of this request; null for other credentials")


class Me(ApiView):
    """Needs no permission: callers may always see their own identity."""

    def check_permission(self, request: Request) -> None:
        self.handled_method(request)
        self.see(Reach(tenants=self.caller.rights.tenants))

    @operation("getMe", "Who am I here, and what may I do?", answers=MeOut)
    def get(self, request: Request) -> Response:
        rights, person = self.caller.rights, queries.person(self.caller.person_id)
        me = {
            "kind": self.caller.actor.kind,
            "name": self.caller.name,
            "issuer": person.issuer if person else "",
            "subject": person.subject if person else "",
            "roles": rights.beyond_tenants,
            "tenants": [
                {"slug": tenant.slug, "name": tenant.name, "roles": sorted(map(str, rights.roles_in(tenant.pk)))}
                for tenant in queries.tenants(self.reach)
            ],
            "scopes": None if rights.scopes is None else sorted(rights.scopes),
            "token": delegation.own_token(self.caller),
        }
        return Response(shown(MeOut, me))
