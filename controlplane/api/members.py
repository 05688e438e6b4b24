"""/tenants/<tenant>/members: who is in a tenant, where the membership comes from, and when it ends."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import Input, asked, given
from controlplane.api.idempotency import idempotent
from controlplane.api.pages import PageQuery, page, pages_of, shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth import memberships
from controlplane.auth.oidc import issuers, people
from controlplane.auth.roles import Action
from controlplane.errors import Invalid
from controlplane.tenants import queries
from controlplane.tenants.models import Membership, Origin, Person

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rest_framework.request import Request

    from controlplane.reach import Reach


class PersonOut(serializers.ModelSerializer[Person]):
    name = serializers.CharField(source="get_full_name", read_only=True)

    class Meta:
        model = Person
        fields = read_only_fields = ["id", "name", "issuer", "subject", "is_active"]


class HeldOut(serializers.Serializer[Any]):
    """The fields that memberships and roles have in common."""

    id = serializers.IntegerField()
    person = PersonOut()
    origin = serializers.ChoiceField(Origin.choices)
    rule = serializers.CharField(help_text="if claimed: the issuer's rule that gave it")
    created_at = serializers.DateTimeField()
    seen_at = serializers.DateTimeField(help_text="if claimed: the last login that confirmed it")
    lapses_at = serializers.DateTimeField(
        read_only=True, allow_null=True, help_text="if claimed: when it ends unless a login confirms it; else null"
    )


class MemberOut(HeldOut):
    role = serializers.ChoiceField(Membership.Role.choices)


class PersonIn(Input):
    """A person, by id or by issuer and subject."""

    person = serializers.IntegerField(min_value=1, max_value=2**63 - 1, required=False, help_text="the person's id")
    issuer = serializers.CharField(
        max_length=200, required=False, help_text="the person's identity provider, as /me shows it"
    )
    subject = serializers.CharField(max_length=255, required=False, help_text="the person's id at the issuer")


class MemberIn(PersonIn):
    role = serializers.ChoiceField(Membership.Role.choices, default=Membership.Role.MEMBER)


class MemberQuery(PageQuery):
    origin = serializers.ChoiceField(Origin.choices, required=False)
    role = serializers.ChoiceField(Membership.Role.choices, required=False)
    lapsed = serializers.BooleanField(
        default=False, help_text="only lapsed memberships, which no login has confirmed in time"
    )


_EXAMPLE = OpenApiExample(
    "a manager",
    {"issuer": "https://aai.egi.eu/auth/realms/egi", "subject": "0123abcd@egi.eu", "role": "manager"},
    request_only=True,
)


class Members(ApiView):
    actions = {"GET": Action.MEMBERS_READ, "POST": Action.MEMBERS_CHANGE}

    @operation("listMembers", "List who is in a tenant", query=MemberQuery, answers=pages_of(MemberOut))
    def get(self, request: Request, tenant: str) -> Response:
        """A person has one item for each role, and for each origin of the role (claimed or manual)."""
        query = asked(request, MemberQuery)
        rows = queries.members(queries.tenant(self.reach, tenant), query, now=timezone.now())
        return page(request, rows, query, MemberOut)

    @operation(
        "addMember", "Add someone to a tenant by hand", takes=MemberIn, answers={201: MemberOut}, examples=[_EXAMPLE]
    )
    @idempotent
    def post(self, request: Request, tenant: str) -> Response:
        """If the membership exists, nothing changes. A manual membership stays until somebody removes it."""
        row = queries.tenant(self.reach, tenant)
        values = given(request, MemberIn)
        held = memberships.give_membership(person_of(values, self.reach), row, Membership.Role(values["role"]))
        return Response(shown(MemberOut, held), status=201)


class OneMember(ApiView):
    actions = {"DELETE": Action.MEMBERS_CHANGE}

    @operation("removeMember", "Remove a manual membership", answers={204: None}, errors=[400])
    def delete(self, request: Request, tenant: str, membership: int) -> Response:
        """New jobs are refused; running jobs continue. Claimed memberships end at the person's organisation."""
        memberships.take(queries.member(queries.tenant(self.reach, tenant), membership))
        return Response(status=204)


def person_of(values: Mapping[str, Any], reach: Reach) -> Person:
    """Returns the person of a PersonIn; an id must be within reach. Raises Invalid.

    Creates the person if the issuer is configured here: they may log in later.
    """
    if "person" in values:
        found = queries.person_within(reach, values["person"])
        if found is None:
            raise Invalid({"person": "There is no such person here: send issuer and subject."})
        return found
    name, subject = values.get("issuer"), values.get("subject")
    if not name or not subject:
        raise Invalid({"subject": "Send either person, or issuer and subject."})
    found = queries.person_of_issuer(name, subject)
    if found is not None:
        return found
    issuer = issuers.by_issuer(name)
    if issuer is None:
        raise Invalid({"issuer": "People of this issuer cannot log in here."})
    if not subject.isprintable():
        raise Invalid({"subject": "It contains characters that cannot be printed."})
    return people.arrive(issuer, subject, {})
