"""DRF's ways in: one class for every bearer token, and one for a browser that is logged in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication
from rest_framework.authentication import SessionAuthentication as DjangoSession

from controlplane.auth import callers, token_format
from controlplane.auth.callers import PersonCaller, ServiceCaller
from controlplane.auth.oidc import authenticate as issuer_tokens
from controlplane.auth.rights import rights_of
from controlplane.auth.tokens import authenticate as own_tokens
from controlplane.errors import Unauthenticated
from controlplane.tenants.models import Person

if TYPE_CHECKING:
    from rest_framework.request import Request

    from controlplane.auth.callers import Caller


class BearerAuthentication(BaseAuthentication):
    """`Authorization: Bearer <token>`: ours by its prefix, otherwise an identity provider's.

    A bare or wrong one is a 401; none at all leaves it to the next way in, or to the view's permission. An identity
    provider or database that does not answer is a 503.
    """

    def authenticate(self, request: Request) -> tuple[Caller, None] | None:
        header = request.META.get("HTTP_AUTHORIZATION")
        if header is None:
            return None
        text = callers.bearer(header)
        if token_format.is_ours(text):
            return own_tokens.caller(text, now=timezone.now()), None
        return issuer_tokens.memory.caller(text, now=timezone.now()), None

    def authenticate_header(self, request: Request) -> str:
        """What a 401 says is wanted; without it DRF would answer 403."""
        return "Bearer"


class SessionAuthentication(DjangoSession):
    """A browser's session: all that the person may do, with Django's CSRF token for what changes something."""

    def authenticate(self, request: Request) -> tuple[PersonCaller, None] | None:
        found = super().authenticate(request)
        if found is None or not isinstance(found[0], Person):
            return None
        person = found[0]
        return PersonCaller(person.pk, person.get_full_name(), rights_of(person, now=timezone.now())), None


def caller_again(request: Request, caller: PersonCaller | ServiceCaller) -> PersonCaller | ServiceCaller:
    """`caller`, who began something long with this request, as the rows are now. Raises as authentication does.

    That the token has expired meanwhile is no reason: many live for minutes. That it was revoked is one.
    """
    header, now = request.META.get("HTTP_AUTHORIZATION"), timezone.now()
    if header is not None:
        text = callers.bearer(header)
        return (
            own_tokens.owner_again(text, now=now)
            if token_format.is_ours(text)
            else issuer_tokens.memory.again(text, now=now)
        )
    person = Person.objects.filter(pk=getattr(caller, "person_id", 0), is_active=True).first()
    if person is None:
        raise Unauthenticated("Your account here is disabled: ask your federation operator.")
    return PersonCaller(person.pk, person.get_full_name(), rights_of(person, now=now))
