"""/claims/try: which memberships and roles a person with some claims would get, and by which rule."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import Input, given
from controlplane.api.pages import shown
from controlplane.api.schema import operation
from controlplane.api.views import ApiView
from controlplane.auth.oidc import issuers
from controlplane.auth.oidc.claim_rules import try_claims
from controlplane.auth.roles import Action
from controlplane.errors import Invalid

if TYPE_CHECKING:
    from rest_framework.request import Request


class ClaimsIn(Input):
    issuer = serializers.CharField(max_length=100, help_text="the issuer's alias in the file of issuers")
    claims = serializers.DictField(help_text="in the form of a token, userinfo or introspection")


class GivenOut(serializers.Serializer[Any]):
    kind = serializers.ChoiceField(["membership", "role"])
    role = serializers.CharField(source="give")
    tenant = serializers.CharField(help_text="for a membership: the tenant's slug")
    site = serializers.CharField(help_text="for a site operator: the site's slug")
    rule = serializers.CharField()
    value = serializers.CharField(help_text="the claim's value that the rule matched")
    may_create = serializers.CharField(help_text="the name of the tenant that a login would create; empty: none")


class IgnoredOut(serializers.Serializer[Any]):
    claim = serializers.CharField()
    value = serializers.CharField()
    reason = serializers.CharField()


class TriedOut(serializers.Serializer[Any]):
    given = GivenOut(many=True)
    ignored = IgnoredOut(many=True)
    decided = serializers.ListField(
        child=serializers.CharField(),
        help_text="the rules that these claims answer completely: a login removes what such a rule no longer gives",
    )


_EXAMPLE = OpenApiExample(
    "a member",
    {"issuer": "egi", "claims": {"entitlements": ["urn:mace:egi.eu:group:vo.example.eu:role=member#aai.egi.eu"]}},
    request_only=True,
)


class TryClaims(ApiView):
    actions = {"POST": Action.CLAIMS_TRY}

    @operation("tryClaims", "See what claims would give", takes=ClaimsIn, answers=TriedOut, examples=[_EXAMPLE])
    def post(self, request: Request) -> Response:
        """Only shows what a login with these claims would do; changes nothing."""
        values = given(request, ClaimsIn)
        issuer = issuers.by_alias(values["issuer"])
        if issuer is None:
            raise Invalid({"issuer": "There is no issuer with this alias."})
        result = try_claims(issuer, values["claims"])
        answer = {"given": result.given, "ignored": result.ignored, "decided": sorted(result.decided)}
        return Response(shown(TriedOut, answer))
