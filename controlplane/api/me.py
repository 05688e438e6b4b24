"""/me: who the caller is here, and what for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.callers import PersonCaller
from controlplane.reach import Reach
from controlplane.tenants.models import ApiToken, Person, Tenant

if TYPE_CHECKING:
    from rest_framework.request import Request


class MyRoleOut(serializers.Serializer[Any]):
    role = serializers.CharField(help_text="of docs/roles.md")
    site = serializers.CharField(help_text="the site's slug; empty for the federation's roles")


class MyTenantOut(serializers.Serializer[Any]):
    slug = serializers.CharField()
    name = serializers.CharField()
    roles = serializers.ListField(child=serializers.CharField())


class MyTokenOut(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    hint = serializers.CharField(help_text="its first characters")
    tenant = serializers.CharField(allow_null=True, help_text="the one tenant that it is confined to")
    expires_at = serializers.DateTimeField()


class MeOut(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["person", "service"])
    name = serializers.CharField()
    issuer = serializers.CharField(help_text="of a person's home identity; empty for others")
    subject = serializers.CharField(help_text="a person's name at the issuer")
    roles = MyRoleOut(many=True)
    tenants = MyTenantOut(many=True)
    scopes = serializers.ListField(
        child=serializers.CharField(),
        allow_null=True,
        help_text="what the token is for; null where nothing bounds it",
    )
    token = MyTokenOut(allow_null=True, help_text="where a token of ours was shown")


class Me(ApiView):
    """Asks for no action: whoever is known may know what is known of them."""

    def check_leave(self, request: Request) -> None:
        self._method(request)
        held = self.caller.rights.held
        self.see(Reach(tenants=frozenset(each.tenant_id for each in held if each.tenant_id is not None)))

    @operation("getMe", "Who am I here, and what may I do?", answers=MeOut)
    def get(self, request: Request) -> Response:
        rights = self.caller.rights
        told = {
            "kind": self.caller.actor.kind,
            "name": self.caller.name,
            **self._identity(),
            "roles": [{"role": str(each.role), "site": each.site} for each in rights.held if each.tenant_id is None],
            "tenants": [
                {"slug": tenant.slug, "name": tenant.name, "roles": sorted(map(str, rights.roles_in(tenant.pk)))}
                for tenant in Tenant.objects.filter(pk__in=self.reach.tenants).order_by("slug")
            ],
            "scopes": None if rights.scopes is None else sorted(rights.scopes),
            "token": self._token(),
        }
        return Response(MeOut(told).data)

    def _identity(self) -> dict[str, str]:
        if isinstance(self.caller, PersonCaller):
            person = Person.objects.get(pk=self.caller.person_id)
            return {"issuer": person.issuer, "subject": person.subject}
        return {"issuer": "", "subject": ""}

    def _token(self) -> dict[str, Any] | None:
        token = ApiToken.objects.select_related("tenant").filter(pk=self.caller.token_id or 0).first()
        if token is None:
            return None
        return {
            "id": token.pk,
            "hint": token.hint,
            "tenant": token.tenant.slug if token.tenant else None,
            "expires_at": token.expires_at,
        }
