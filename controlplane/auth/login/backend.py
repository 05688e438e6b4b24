"""Django's authentication backend for people of an issuer: turns an authorization code into a person with their rights.

It extends mozilla-django-oidc and adds the checks that the library lacks: the ID token is validated (id_tokens.py),
userinfo must have the same `sub`, and a person is found by issuer and subject, never by e-mail address.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django.http import Http404
from django.utils import timezone
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from controlplane.audit import actors, trail
from controlplane.auth.login.addresses import callback_url
from controlplane.auth.oidc import claim_values, id_tokens, issuers, people, providers
from controlplane.auth.oidc.apply_claims import apply_claims
from controlplane.errors import Forbidden, IsthmusError, Unauthenticated
from controlplane.tenants.models import Person
from controlplane.tenants.scope import seeing_everything

if TYPE_CHECKING:
    from django.http import HttpRequest

    from controlplane.auth.oidc.issuer import Issuer

logger = logging.getLogger(__name__)

#: Session key: the last login's ID token, which the issuer wants back at logout; "" if it is too long for a URL.
ID_TOKEN = "oidc_id_token"  # noqa: S105  (a name)
_LONGEST_HINT = 4096


def issuer_of(request: HttpRequest) -> Issuer:
    """Returns the issuer that the request's address names. Raises Http404."""
    alias = request.resolver_match.kwargs.get("alias", "") if request.resolver_match else ""
    issuer = issuers.by_alias(alias)
    if issuer is None:
        raise Http404
    return issuer


class IssuerBackend(OIDCAuthenticationBackend):  # type: ignore[misc]  # the library has no types
    """Logs people in. `authenticate` raises Unauthenticated, Forbidden or Unavailable, with a sentence for the page."""

    issuer: Issuer
    request: HttpRequest
    granted: str  # the scopes of this login

    def __init__(self) -> None:
        """Does nothing, unlike the library's: Django makes a new backend for every permission check."""

    @staticmethod
    def get_settings(attr: str, *args: Any) -> Any:
        """Returns the defaults of the library's settings: the issuers' settings are in the file of issuers."""
        return "login" if attr == "OIDC_AUTHENTICATION_CALLBACK_URL" else args[0] if args else ""

    def authenticate(self, request: HttpRequest | None, **kwargs: Any) -> Person | None:
        if request is None or not kwargs.get("nonce"):
            return None  # a login with user name and password, for Django's own backend
        self.issuer = issuer_of(request)
        self.OIDC_RP_CLIENT_ID = self.OIDC_RP_CLIENT_SECRET = ""  # providers.exchange adds them
        person = super().authenticate(request, **kwargs)
        return person if isinstance(person, Person) else None

    def get_token(self, payload: dict[str, Any]) -> dict[str, Any]:
        """Exchanges the code for tokens, and sends the client secret in the way that this issuer supports."""
        form = {name: str(payload[name]) for name in ("grant_type", "code", "code_verifier")}
        found = providers.exchange(self.issuer, {**form, "redirect_uri": callback_url(self.request, self.issuer)})
        # RFC 6749, 5.1: if `scope` is missing, the issuer granted the requested scopes.
        self.granted = str(found.get("scope", " ".join(self.issuer.scopes)))
        return found

    def verify_token(self, token: Any, **kwargs: Any) -> dict[str, Any]:
        return id_tokens.claims_of(self.issuer, token, nonce=kwargs["nonce"], now=timezone.now())

    def store_tokens(self, access_token: Any, id_token: Any) -> None:
        self.request.session[ID_TOKEN] = id_token if len(id_token) <= _LONGEST_HINT else ""

    def get_or_create_user(self, access_token: Any, id_token: Any, payload: dict[str, Any]) -> Person:
        claims = self._all_claims(access_token, payload)
        with seeing_everything():
            person = people.arrive(self.issuer, payload["sub"], claims)
            if not person.is_active:
                raise Forbidden("Your account here is disabled: ask your federation operator.")
            actors.bind(replace(actors.current(), kind="person", id=person.pk, name=person.get_full_name()))
            people.update(person, claims)
            apply_claims(person, self.issuer, claims, now=timezone.now())
            trail.record("person.login", "person", person.pk, changes={"issuer": self.issuer.alias})
        return person

    def get_user(self, user_id: int) -> Person | None:
        """Returns the session's person; None if the person is disabled, so the session ends with the next request."""
        return Person.objects.filter(pk=user_id, is_active=True).first()

    def _all_claims(self, access_token: Any, payload: dict[str, Any]) -> dict[str, Any]:
        """Returns the claims of the ID token and userinfo; adds introspection's if groups are missing and it may ask.

        Raises Unauthenticated if userinfo is about another person.
        """
        claims = dict(payload)
        if not isinstance(access_token, str):
            return claims
        if providers.metadata(self.issuer).userinfo_endpoint:
            userinfo = providers.userinfo(self.issuer, access_token)
            if userinfo.get("sub") != payload["sub"]:
                raise Unauthenticated(f"{self.issuer.name} sent data about two people; please log in again.")
            claims |= userinfo
        if self.issuer.introspection and not claim_values.whole(self.issuer, claims):
            claims |= self._introspected(access_token, payload["sub"])
        return claim_values.with_empty_claims(self.issuer, claims, granted=self.granted)

    def _introspected(self, access_token: str, subject: str) -> dict[str, Any]:
        """Returns introspection's claims, {} if the issuer does not answer: a login is possible without groups."""
        try:
            claims = providers.introspect(self.issuer, access_token)
        except IsthmusError as error:
            logger.warning("groups not asked for", extra={"issuer": self.issuer.alias, "why": error.message})
            return {}
        return claims if claims.get("active") is True and claims.get("sub") == subject else {}
