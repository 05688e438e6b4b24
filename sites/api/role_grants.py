"""/roles: the operators and auditors of the federation, and the operators of sites."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import asked, given
from controlplane.api.idempotency import idempotent
from controlplane.api.members import HeldOut, PersonIn, person_of
from controlplane.api.pages import PageQuery, page, pages_of, shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth import memberships
from controlplane.auth.roles import Action
from controlplane.tenants import queries
from controlplane.tenants.models import RoleGrant
from sites.queries import site_anywhere

if TYPE_CHECKING:
    from rest_framework.request import Request


class RoleOut(HeldOut):
    role = serializers.ChoiceField(RoleGrant.Role.choices)
    site = serializers.CharField(help_text="a site operator's site, by its slug; empty for the federation's roles")


class RoleIn(PersonIn):
    role = serializers.ChoiceField(RoleGrant.Role.choices)
    site = serializers.CharField(max_length=63, required=False, allow_blank=True, default="")

    def validate_site(self, slug: str) -> str:
        if slug and site_anywhere(slug) is None:
            raise serializers.ValidationError(f"There is no site {slug}.")
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

    @operation("listRoles", "List the roles of operators and auditors", query=RoleQuery, answers=pages_of(RoleOut))
    def get(self, request: Request) -> Response:
        query = asked(request, RoleQuery)
        return page(request, queries.role_grants(self.reach, query, now=timezone.now()), query, RoleOut)

    @operation("giveRole", "Give someone a role by hand", takes=RoleIn, answers={201: RoleOut}, examples=[_EXAMPLE])
    @idempotent
    def post(self, request: Request) -> Response:
        """A role that the person already has does not change."""
        values = given(request, RoleIn)
        person, role = person_of(values, self.reach), RoleGrant.Role(values["role"])
        grant = memberships.give_role(person, role, site=values["site"])
        return Response(shown(RoleOut, grant), status=201)


class OneRole(ApiView):
    actions = {"DELETE": Action.ROLES_CHANGE}

    @operation("takeRole", "Take away a role that was given by hand", answers={204: None}, errors=[400])
    def delete(self, request: Request, role: int) -> Response:
        memberships.take(queries.role_grant(self.reach, role))
        return Response(status=204)
