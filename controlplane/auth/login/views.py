"""Login and logout of browsers: each issuer's login and callback addresses, and logout here and at the issuer.

mozilla-django-oidc implements the flow (code, PKCE, nonce, a state for each tab). This module adds what several issuers
need: each state belongs to one issuer, `iss` in the callback is checked (RFC 9207), and each login has its own `next`.
Every error is shown as one sentence on a page, and recorded.
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

#: Session key: the alias of the issuer of the last login.
ISSUER = "oidc_issuer"
#: How many unfinished logins a browser may have; then the oldest is dropped.
_STATES = 20
_SETTINGS = {
    "OIDC_USE_PKCE": True,
    "OIDC_MAX_STATES": _STATES,
    "OIDC_AUTHENTICATION_CALLBACK_URL": "login",  # any existing URL name: get_extra_params replaces it
}


class _OfIssuer:
    """Gives the library its settings; Django's settings cannot hold several issuers."""

    @staticmethod
    def get_settings(attr: str, *args: Any) -> Any:
        return _SETTINGS.get(attr, args[0] if args else "")


@method_decorator(never_cache, name="dispatch")
class LoginView(_OfIssuer, OIDCAuthenticationRequestView):  # type: ignore[misc]  # the library has no types
    """Redirects the browser to the issuer, and after the login to `?next=` if that is an address of this service."""

    def get(self, request: HttpRequest, alias: str) -> HttpResponse:
        issuer = issuer_of(request)
        try:
            self.OIDC_OP_AUTH_ENDPOINT = providers.metadata(issuer).authorization_endpoint
        except Unavailable as error:
            return login_refused(request, issuer, error)
        self.OIDC_RP_CLIENT_ID = issuer.client_id
        response: HttpResponse = super().get(request)
        states = request.session["oidc_states"]
        states[next(reversed(states))] |= {"alias": alias, "next": request.session.pop("oidc_login_next", None)}
        request.session.modified = True
        return response

    def get_extra_params(self, request: HttpRequest) -> dict[str, str]:
        issuer = issuer_of(request)
        return {"scope": " ".join(issuer.scopes), "redirect_uri": callback_url(request, issuer)}


@method_decorator(never_cache, name="dispatch")
class CallbackView(_OfIssuer, OIDCAuthenticationCallbackView):  # type: ignore[misc]  # the library has no types
    """Ends a login: the issuer redirects the browser to this address."""

    def get(self, request: HttpRequest, alias: str) -> HttpResponse:
        issuer = issuer_of(request)
        try:
            self.login = _pending_login(request, issuer)
            response: HttpResponse = super().get(request)
        except IsthmusError as error:
            return login_refused(request, issuer, error)
        return response

    def login_success(self) -> HttpResponse:
        """Logs the person in, with a new session key even if they were logged in before."""
        id_token, before = self.request.session.get(ID_TOKEN), self.request.session.session_key
        auth.login(self.request, self.user, backend="controlplane.auth.backend.IssuerBackend")
        if self.request.session.session_key == before:
            self.request.session.cycle_key()
        self.request.session[ID_TOKEN] = id_token
        self.request.session[ISSUER] = self.login["alias"]
        return HttpResponseRedirect(self.login["next"] or AFTER_LOGIN)

    def login_failure(self) -> HttpResponse:
        raise Unauthenticated("The login did not finish; please try again.")


@method_decorator(never_cache, name="dispatch")
class LogoutView(_OfIssuer, OIDCLogoutView):  # type: ignore[misc]  # the library has no types
    """POST: logs the person out here, and redirects to the issuer to log out there too."""

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
    """Shows one sentence and a link to try again; records the refusal unless the issuer just does not answer.

    If an IP address fails again and again, only the first refusals are recorded: a stranger must not fill the trail.
    """
    if not isinstance(error, Unavailable) and not failures.another("login", actors.current().address):
        changes = {"reason": error.message}
        with seeing():
            trail.record("person.login", "issuer", issuer.alias, changes=changes, outcome=Event.Outcome.REFUSED)
    status = HTTPStatus.FORBIDDEN if isinstance(error, Unauthenticated) else error.status
    return own_page(request, "login_failed.html", {"issuer": issuer, "message": error.message}, status=status)


def _pending_login(request: HttpRequest, issuer: Issuer) -> dict[str, Any]:
    """Returns the login that this callback ends: {"alias", "next", ...}. A failed login cannot be used again.

    Raises BadRequest unless it was started in this browser at this issuer, and Forbidden if the issuer refused it.
    """
    answer, states = request.GET, request.session.get("oidc_states", {})
    login = states.get(answer.get("state", ""))
    if not isinstance(login, dict) or login.get("alias") != issuer.alias:
        raise BadRequest("This login was not started in this browser, or was used before; please start again.")
    is_announced = providers.metadata(issuer).announces_iss
    if answer.get("iss", issuer.issuer if not is_announced else "") != issuer.issuer:
        _forget(request)
        raise BadRequest(f"This answer does not come from {issuer.name}; please start again.")
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
    """Returns the issuer's logout address, or our login page if the issuer has none or does not answer."""
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
