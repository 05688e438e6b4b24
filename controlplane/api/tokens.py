"""/tokens and /tenants/<tenant>/service-accounts/<account>/tokens: personal tokens and service accounts' tokens.

The text of a token is shown once, when it is made.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from drf_spectacular.utils import OpenApiExample
from rest_framework import serializers
from rest_framework.response import Response

from controlplane.api.bodies import Input, asked, given
from controlplane.api.idempotency import idempotent
from controlplane.api.pages import PageQuery, page, pages_of, shown
from controlplane.api.schema import operation
from controlplane.api.service_accounts import ServiceView
from controlplane.api.views import ApiView
from controlplane.auth.roles import Action, Scope
from controlplane.auth.tokens import delegation, issue
from controlplane.tenants import queries
from controlplane.tenants.models import ApiToken

if TYPE_CHECKING:
    from rest_framework.request import Request

    from controlplane.reach import Reached

_LONGEST_DAYS = 3650


class TokenOut(serializers.ModelSerializer[ApiToken]):
    tenant = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True, allow_null=True)

    class Meta:
        model = ApiToken
        fields = read_only_fields = [
            "id", "kind", "hint", "label", "scopes", "tenant", "created_at", "expires_at", "revoked_at", "last_used_at",
        ]  # fmt: skip
        extra_kwargs = {"last_used_at": {"help_text": "to the minute"}}


class NewTokenOut(TokenOut):
    token = serializers.SerializerMethodField(help_text="shown this once")

    class Meta(TokenOut.Meta):
        fields = read_only_fields = [*TokenOut.Meta.fields, "token"]

    def get_token(self, _row: ApiToken) -> str:
        """Returns the token's text, from `text` in the serializer's context."""
        return str(self.context["text"])


class TokenIn(Input):
    label = serializers.CharField(  # type: ignore[assignment]  # DRF's fields have a label of their own
        max_length=100, required=False, allow_blank=True, default=""
    )
    days = serializers.IntegerField(
        min_value=1, max_value=_LONGEST_DAYS, default=90, help_text="its lifetime in days; the service may allow fewer"
    )


class ServiceTokenIn(TokenIn):
    scopes = serializers.ListField(child=serializers.ChoiceField([scope.value for scope in Scope]), allow_empty=False)


class PersonalTokenIn(ServiceTokenIn):
    tenant = serializers.SlugField(
        max_length=63, required=False, allow_null=True, help_text="the only tenant that it is for; null: all of yours"
    )


_EXAMPLE = OpenApiExample("to read and submit", {"label": "laptop", "scopes": ["read", "submit"], "days": 30})


class TokenView(ApiView):
    """Base of all views of tokens. It is for the caller's personal tokens; a subclass may name another owner."""

    actions = {"GET": Action.TOKENS_OWN, "POST": Action.TOKENS_OWN, "DELETE": Action.TOKENS_OWN}
    #: For the OpenAPI description: words in operation ids and summaries.
    words: ClassVar[dict[str, str]] = {"Of": "Personal", "of": "your personal"}

    def rows(self, **address: str) -> Reached[ApiToken]:
        """Returns the owner's tokens. Raises NotFound, and Forbidden if a program asks for personal tokens.

        address: the variables of the address, such as the tenant's slug.
        """
        return delegation.own_tokens(self.caller)

    def row(self, token: int, **address: str) -> ApiToken:
        """Returns one of the owner's tokens, by id. Raises as `rows`, and NotFound if the owner has no such token."""
        return self.rows(**address).one(f"There is no token {token} here.", pk=token)


class OfService(ServiceView, TokenView):
    actions = {"GET": Action.SERVICES_READ, "POST": Action.SERVICES_CHANGE, "DELETE": Action.SERVICES_CHANGE}
    words = {"Of": "ServiceAccount", "of": "a service account's"}

    def rows(self, **address: str) -> Reached[ApiToken]:
        return queries.tokens_of(self.service(address["tenant"], address["account"]))


class ListOf(TokenView):
    @operation("list{Of}Tokens", "List {of} tokens", query=PageQuery, answers=pages_of(TokenOut))
    def get(self, request: Request, **address: str) -> Response:
        """Includes expired and revoked tokens."""
        return page(request, self.rows(**address), asked(request, PageQuery), TokenOut)


class OneOf(TokenView):
    @operation("get{Of}Token", "See one of {of} tokens", answers=TokenOut)
    def get(self, request: Request, token: int, **address: str) -> Response:
        return Response(shown(TokenOut, self.row(token, **address)))

    @operation("revoke{Of}Token", "Revoke one of {of} tokens", answers={204: None})
    def delete(self, request: Request, token: int, **address: str) -> Response:
        """The token stops working within seconds. It is no error to revoke it twice."""
        issue.revoke_token(self.row(token, **address))
        return Response(status=204)


class RotateOneOf(TokenView):
    @operation("rotate{Of}Token", "Replace one of {of} tokens", answers={201: NewTokenOut}, errors=[400])
    @idempotent
    def post(self, request: Request, token: int, **address: str) -> Response:
        """Makes a new token like the old one. The old one works for ten more minutes, so that programs can change."""
        row = self.row(token, **address)
        delegation.check(self.caller, scopes=row.scopes, tenant_id=row.tenant_id)
        return issued(*issue.rotate(row))


class PersonalTokens(ListOf):
    @operation(
        "createPersonalToken",
        "Make a personal token",
        takes=PersonalTokenIn,
        answers={201: NewTokenOut},
        examples=[_EXAMPLE],
    )
    @idempotent
    def post(self, request: Request) -> Response:
        """The token allows what its scopes name, as far as you may do it at that moment. It is shown only once.
        If you make it with a personal token, it expires no later than that token."""
        person = delegation.owner(self.caller)
        values = given(request, PersonalTokenIn)
        slug = values.pop("tenant", None)
        tenant = None if slug is None else delegation.own_tenant(self.caller, slug)
        delegation.check(self.caller, scopes=values["scopes"], tenant_id=tenant.pk if tenant else None)
        values = with_lifetime(values)
        values["lifetime"] = delegation.at_most(values["lifetime"], self.caller)
        return issued(*issue.mint_personal(person, tenant=tenant, **values))


class ServiceTokens(OfService, ListOf):
    @operation(
        "createServiceAccountToken",
        "Make a token for a service account",
        takes=ServiceTokenIn,
        answers={201: NewTokenOut},
        examples=[_EXAMPLE],
    )
    @idempotent
    def post(self, request: Request, tenant: str, account: str) -> Response:
        service = self.service(tenant, account)
        values = given(request, ServiceTokenIn)
        delegation.check(self.caller, scopes=values["scopes"], tenant_id=service.tenant_id)
        return issued(*issue.mint_service(service, **with_lifetime(values)))


class PersonalToken(OneOf):
    """One of the caller's personal tokens."""


class ServiceToken(OfService, OneOf):
    """One of a service account's tokens."""


class RotatePersonalToken(RotateOneOf):
    """Replaces one of the caller's personal tokens."""


class RotateServiceToken(OfService, RotateOneOf):
    """Replaces one of a service account's tokens."""


def with_lifetime(values: dict[str, Any]) -> dict[str, Any]:
    """Returns the values with `lifetime` (a timedelta) instead of `days`."""
    lifetime = timedelta(days=values.pop("days"))
    return {**values, "lifetime": lifetime}


def issued(row: ApiToken, text: str) -> Response:
    """Returns the answer with a new token, which no cache may store."""
    response = Response(shown(NewTokenOut, row, text=text), status=201)
    response["Cache-Control"] = "no-store"
    return response
