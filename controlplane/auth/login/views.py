"""The browser's way in and out: an issuer's login and callback addresses, and logout, here and at the issuer.

mozilla-django-oidc carries the flow (code, PKCE, nonce, a state for each tab); what it lacks for several issuers is
added: the state is bound to its issuer, `iss` in the callback is checked (RFC 9207), each login has its own `next`.
Whatever goes wrong is one sentence on a page, and recorded.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib import auth
from django.http import HttpResponse, HttpResponseRedirect
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from mozilla_django_oidc.views import OIDCAuthenticationCallbackView, OIDCAuthenticationRequestView, OIDCLogoutView

from controlplane.audit import actors, trail
from controlplane.audit.actors import Actor
from controlplane.audit.models import Event
from controlplane.auth import failures
from controlplane.auth.login.addresses import absolute, callback_url
from controlplane.auth.login.backend import ID_TOKEN, issuer_of
from controlplane.auth.login.pages import AFTER_LOGIN, LOGIN, own_page
from controlplane.auth.oidc import issuers, providers
from controlplane.errors import BadRequest, Forbidden, IsthmusError, Unauthenticated, Unavailable
from controlplane.tenants.models import Person
from controlplane.tenants.scope import seeing

if TYPE_CHECKING:
    from django.http import HttpRequest

    from controlplane.auth.oidc.issuer import Issuer

#: In the session, after a login: the alias of its issuer.
ISSUER = "oidc_issuer"
#: Logins that a browser may have begun and not ended; beyond, the oldest is forgotten.
_STATES = 20
_SETTINGS = {
    "OIDC_USE_PKCE": True,
    "OIDC_MAX_STATES": _STATES,
    "OIDC_AUTHENTICATION_CALLBACK_URL": "login",  # any name that exists: the issuer's own goes over it
}


class _OfIssuer:
    """What the library reads from Django's settings, which know no issuers."""

    @staticmethod
    def get_settings(attr: str, *args: Any) -> Any:
        return _SETTINGS.get(attr, args[0] if args else "")


@method_decorator(never_cache, name="dispatch")
class LoginView(_OfIssuer, OIDCAuthenticationRequestView):  # type: ignore[misc]  # the library has no types
    """Sends the browser to the issuer. `?next=` is where it goes afterwards, if that is here."""

    def get(self, request: HttpRequest, alias: str) -> HttpResponse:
        issuer = issuer_of(request)
        try:
            self.OIDC_OP_AUTH_ENDPOINT = providers.metadata(issuer).authorization_endpoint
        except Unavailable as error:
            return login_refused(request, issuer, error)
        self.OIDC_RP_CLIENT_ID = issuer.client_id
        response: HttpResponse = super().get(request)
        begun = request.session["oidc_states"]
        begun[next(reversed(begun))] |= {"alias": alias, "next": request.session.pop("oidc_login_next", None)}
        request.session.modified = True
        return response

    def get_extra_params(self, request: HttpRequest) -> dict[str, str]:
        issuer = issuer_of(request)
        return {"scope": " ".join(issuer.scopes), "redirect_uri": callback_url(request, issuer)}


@method_decorator(never_cache, name="dispatch")
class CallbackView(_OfIssuer, OIDCAuthenticationCallbackView):  # type: ignore[misc]  # the library has no types
    """Where the issuer sends the browser back to."""

    def get(self, request: HttpRequest, alias: str) -> HttpResponse:
        issuer = issuer_of(request)
        try:
            self.login = _begun(request, issuer)
            response: HttpResponse = super().get(request)
        except IsthmusError as error:
            return login_refused(request, issuer, error)
        return response

    def login_success(self) -> HttpResponse:
        """The session's key changes, even for somebody who was logged in already."""
        id_token, before = self.request.session.get(ID_TOKEN), self.request.session.session_key
        auth.login(self.request, self.user, backend="controlplane.auth.backend.IssuerBackend")
        if self.request.session.session_key == before:
            self.request.session.cycle_key()
        self.request.session[ID_TOKEN] = id_token
        self.request.session[ISSUER] = self.login["alias"]
        return HttpResponseRedirect(self.login["next"] or AFTER_LOGIN)

    def login_failure(self) -> HttpResponse:
        raise Unauthenticated("The login did not come to an end; please try again.")


@method_decorator(never_cache, name="dispatch")
class LogoutView(_OfIssuer, OIDCLogoutView):  # type: ignore[misc]  # the library has no types
    """POST: out here, and on to the issuer to be logged out there as well."""

    http_method_names = ("post",)

    def post(self, request: HttpRequest) -> HttpResponse:
        address = _logout_address(request)
        if isinstance(request.user, Person):
            actors.bind(Actor("person", request.user.pk, request.user.get_full_name()))
            with seeing():
                trail.record("person.logout", "person", request.user.pk)
        auth.logout(request)
        return HttpResponseRedirect(address)


def login_refused(request: HttpRequest, issuer: Issuer, error: IsthmusError) -> HttpResponse:
    """One sentence and a way to try again; recorded, unless the issuer is merely away.

    Of an address that fails again and again a few are: a stranger must not fill the trail.
    """
    if not isinstance(error, Unavailable) and not failures.another("login", actors.current().address):
        changes = {"reason": error.message}
        with seeing():
            trail.record("person.login", "issuer", issuer.alias, changes=changes, outcome=Event.Outcome.REFUSED)
    status = HTTPStatus.FORBIDDEN if isinstance(error, Unauthenticated) else error.status
    return own_page(request, "login_failed.html", {"issuer": issuer, "message": error.message}, status=status)


def _begun(request: HttpRequest, issuer: Issuer) -> dict[str, Any]:
    """The login, begun in this browser, that this callback ends; else raises. One that failed cannot be used again."""
    answer, begun = request.GET, request.session.get("oidc_states", {})
    login = begun.get(answer.get("state", ""))
    if not isinstance(login, dict) or login.get("alias") != issuer.alias:
        raise BadRequest("This login was not begun in this browser, or was used before; please begin again.")
    is_announced = providers.metadata(issuer).announces_iss
    if answer.get("iss", issuer.issuer if not is_announced else "") != issuer.issuer:
        _forget(request)
        raise BadRequest(f"This answer does not come from {issuer.name}; please begin again.")
    if "error" in answer or "code" not in answer:
        _forget(request)
        if answer.get("error") == "access_denied":
            raise Forbidden(f"The login was cancelled, or {issuer.name} does not let you in here.")
        raise Forbidden(f"{issuer.name} did not log you in; please try again.")
    return login


def _forget(request: HttpRequest) -> None:
    del request.session["oidc_states"][request.GET["state"]]
    request.session.modified = True


def _logout_address(request: HttpRequest) -> str:
    """At the issuer where there is one that answers, else our login page."""
    issuer = issuers.by_alias(request.session.get(ISSUER, ""))
    if issuer is None:
        return LOGIN
    try:
        endpoint = providers.metadata(issuer).end_session_endpoint
    except Unavailable:
        endpoint = ""
    if not endpoint:
        return LOGIN
    query = {"client_id": issuer.client_id, "post_logout_redirect_uri": absolute(request, LOGIN)}
    if id_token := request.session.get(ID_TOKEN):
        query["id_token_hint"] = id_token
    return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(query)}"
