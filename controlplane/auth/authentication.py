"""DRF's authentication classes: one for all bearer tokens, one for a browser's session."""

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
    """Reads `Authorization: Bearer <token>`. The prefix tells our own tokens from identity providers' tokens.

    A malformed header or a bad token is a 401. Without the header, the next authentication class is tried. If the
    identity provider or the database does not answer, the answer is a 503.
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
        """Returns the WWW-Authenticate header of a 401; without it DRF would answer 403."""
        return "Bearer"


class SessionAuthentication(DjangoSession):
    """Reads a browser's session. It has all rights of the person; methods that change something need a CSRF token."""

    def authenticate(self, request: Request) -> tuple[PersonCaller, None] | None:
        found = super().authenticate(request)
        if found is None or not isinstance(found[0], Person):
            return None
        person = found[0]
        return PersonCaller(person.pk, person.get_full_name(), rights_of(person, now=timezone.now())), None


def caller_again(request: Request, caller: PersonCaller | ServiceCaller) -> PersonCaller | ServiceCaller:
    """Checks the caller of a long-running request again, and returns it with its current rights.

    Raises as authentication does. A revoked token is refused. An expired one is accepted, because many tokens live only
    for minutes.
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
