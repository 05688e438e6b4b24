"""/roles: who operates and audits what, beyond tenants."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import asked, given
from controlplane.api.idempotency import idempotent
from controlplane.api.members import HeldOut, PersonIn, person_of
from controlplane.api.pages import PageQuery, page, pages_of
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth import memberships
from controlplane.auth.roles import Action
from controlplane.errors import Invalid, NotFound
from controlplane.tenants.models import RoleGrant
from sites.models import Site

if TYPE_CHECKING:
    from rest_framework.request import Request


class RoleOut(HeldOut):
    role = serializers.ChoiceField(RoleGrant.Role.choices)
    site = serializers.CharField(help_text="the site's slug, of a site operator; empty for the federation's roles")


class RoleIn(PersonIn):
    role = serializers.ChoiceField(RoleGrant.Role.choices)
    site = serializers.CharField(max_length=63, required=False, allow_blank=True, default="")

    def validate_site(self, slug: str) -> str:
        if slug and not Site.objects.filter(slug=slug).exists():
            raise serializers.ValidationError("There is no such site.")
        return slug


class RoleQuery(PageQuery):
    role = serializers.ChoiceField(RoleGrant.Role.choices, required=False)
    site = serializers.SlugField(max_length=63, required=False)


_EXAMPLE = OpenApiExample(
    "a site operator",
    {"issuer": "https://idp.example.org", "subject": "b3f1", "role": "site_operator", "site": "vega"},
    request_only=True,
)


class Roles(ApiView):
    actions = {"GET": Action.ROLES_READ, "POST": Action.ROLES_CHANGE}

    @operation("listRoles", "List who operates and audits what", query=RoleQuery, answers=pages_of(RoleOut))
    def get(self, request: Request) -> Response:
        query = asked(request, RoleQuery)
        chosen = {name: query[name] for name in ("role", "site") if name in query}
        rows = RoleGrant.objects.in_force(now=timezone.now()).filter(**chosen).select_related("person")
        return page(request, rows, query, _shown)

    @operation("giveRole", "Give someone a role by hand", takes=RoleIn, answers={201: RoleOut}, examples=[_EXAMPLE])
    @idempotent
    def post(self, request: Request) -> Response:
        """Giving what is there already changes nothing."""
        values = given(request, RoleIn)
        role = RoleGrant.Role(values["role"])
        if bool(values["site"]) != (role is RoleGrant.Role.SITE_OPERATOR):
            raise Invalid({"site": "A site operator needs a site, and the federation's roles have none."})
        return Response(_shown(memberships.give_role(person_of(values), role, site=values["site"])), status=201)


class OneRole(ApiView):
    actions = {"DELETE": Action.ROLES_CHANGE}

    @operation("takeRole", "Take a role that was given by hand", answers={204: None}, errors=[400])
    def delete(self, request: Request, role: int) -> Response:
        held = RoleGrant.objects.filter(pk=role).first()
        if held is None:
            raise NotFound(f"There is no role {role}.")
        memberships.take(held)
        return Response(status=204)


def _shown(held: RoleGrant) -> dict[str, Any]:
    return dict(RoleOut(held).data)
