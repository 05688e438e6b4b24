"""POST /oauth2/token: a virtual node's client credentials for a short-lived token (RFC 6749, sections 4.4 and 6).

Of the shape that the refresh sidecar of the interLink Helm chart calls: a form with `grant_type=client_credentials` (or
`refresh_token`), with the same credentials by HTTP Basic and in the body, and an `audience=` that means nothing here.
client_id is the node's slug, client_secret a token of ours of kind client. A refresh token is such a secret too: it
stays the same, since a sidecar that lost an answer could not come back with the one before. See docs/tokens.md.
"""

from __future__ import annotations

import base64
import binascii
import logging
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, JsonResponse
from django.views.decorators.csrf import csrf_exempt

from controlplane.audit import actors
from controlplane.audit.actors import Actor
from controlplane.auth import callers, failures, token_format
from controlplane.auth.tokens import issue, last_use
from controlplane.auth.tokens.authenticate import find_token
from controlplane.errors import InvalidToken
from controlplane.reach import Reach
from controlplane.tenants.models import ApiToken, VirtualNode
from controlplane.tenants.scope import seeing

if TYPE_CHECKING:
    from controlplane.auth.callers import FoundToken

logger = logging.getLogger(__name__)

_FORM = "application/x-www-form-urlencoded"
_LONGEST_FORM = 16 * 1024
_FIELDS = ("grant_type", "client_id", "client_secret", "refresh_token")
_UNKNOWN = "There is no such client, or this is not its secret."


class TokenError(Exception):
    """An answer of RFC 6749, section 5.2: its code, one sentence, and the status."""

    def __init__(self, code: str, message: str, *, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.headers = code, message, status, headers or {}


@csrf_exempt
def token(request: HttpRequest) -> JsonResponse:
    """{"access_token", "token_type", "expires_in"}, and "refresh_token" for that grant; errors as RFC 6749 says."""
    try:
        return _answer(_issued(request))
    except TokenError as error:
        return _answer({"error": error.code, "error_description": error.message}, error.status, error.headers)
    except (OperationalError, InterfaceError) as error:
        logger.warning("database away", extra={"why": type(error).__name__})
        sentence = "The database does not answer at the moment; please try again in a minute."
        return _answer({"error": "temporarily_unavailable", "error_description": sentence}, 503, {"Retry-After": "30"})


def _answer(body: dict[str, object], status: int = 200, headers: dict[str, str] | None = None) -> JsonResponse:
    never_kept = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    return JsonResponse(body, status=status, headers=never_kept | (headers or {}))


def _issued(request: HttpRequest) -> dict[str, object]:
    form = _form(request)
    client = _client(request, form)
    match form["grant_type"]:
        case "client_credentials":
            return _token_for(client)
        case "refresh_token":
            return _token_for(client) | {"refresh_token": _refreshed(form, client)}
        case "":
            raise TokenError("invalid_request", "Say which grant is meant: grant_type=client_credentials.")
    raise TokenError("unsupported_grant_type", "Only client_credentials and refresh_token are granted here.")


def _form(request: HttpRequest) -> dict[str, str]:
    """What the request says of each field that is read, "" where it is silent."""
    if request.method != "POST":
        raise TokenError("invalid_request", "Send a POST.", status=405, headers={"Allow": "POST"})
    length = request.META.get("CONTENT_LENGTH") or "0"
    if request.content_type != _FORM or not length.isdecimal() or int(length) > _LONGEST_FORM:
        raise TokenError("invalid_request", f"Send a form of at most {_LONGEST_FORM} bytes, as {_FORM}.")
    given = {name: request.POST.getlist(name) for name in _FIELDS}
    if any(len(values) > 1 for values in given.values()):
        raise TokenError("invalid_request", "A field of the form may be there once only.")
    return {name: values[0] if values else "" for name, values in given.items()}


def _client(request: HttpRequest, form: dict[str, str]) -> FoundToken:
    """The client secret that the request shows, by either way or both. A right one never waits for wrong ones."""
    shown = {pair for pair in (_basic(request), (form["client_id"], form["client_secret"])) if pair and any(pair)}
    if len(shown) != 1:
        raise _invalid_client("Send the client's id and secret, the same wherever they are sent.")
    ((client_id, secret),) = shown
    try:
        return _secret(secret, slug=client_id)
    except InvalidToken as error:
        wait = failures.another("token", client_id)
        if wait:
            message = "Too many wrong secrets of this client: wait a minute before the next one."
            raise TokenError("invalid_client", message, status=429, headers={"Retry-After": str(wait)}) from None
        raise _invalid_client(error.message) from None


def _basic(request: HttpRequest) -> tuple[str, str] | None:
    """Id and secret of `Authorization: Basic`, None without one."""
    scheme, _, encoded = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _invalid_client("The header `Authorization: Basic` cannot be read.") from None
    client_id, _, secret = text.partition(":")
    return unquote_plus(client_id), unquote_plus(secret)


def _secret(text: str, *, slug: str) -> FoundToken:
    """What is on record of a client secret of this node. Raises InvalidToken, which tells strangers nothing."""
    if token_format.kind_of(text) is not ApiToken.Kind.CLIENT:
        raise InvalidToken(_UNKNOWN)
    found = callers.checked(text, find=find_token)
    if found.kind != ApiToken.Kind.CLIENT or found.slug != slug:
        raise InvalidToken(_UNKNOWN)
    return found


def _refreshed(form: dict[str, str], client: FoundToken) -> str:
    """The refresh token: a client secret of the same node, perhaps the very one that the client shows."""
    try:
        _secret(form["refresh_token"], slug=client.slug)
    except InvalidToken as error:
        raise TokenError("invalid_grant", error.message) from None
    return form["refresh_token"]


def _token_for(client: FoundToken) -> dict[str, object]:
    if client.node_id is None or client.tenant_id is None:
        raise _invalid_client(_UNKNOWN)
    lifetime = timedelta(seconds=settings.NODE_TOKEN_LIFETIME)
    actors.bind(Actor("node", client.node_id, client.slug, client.token_id))
    with seeing(tenants=[client.tenant_id]):
        node = VirtualNode.objects.within(Reach(tenants=frozenset({client.tenant_id}))).get(pk=client.node_id)
        _, text = issue.mint(node, lifetime=lifetime, label="token endpoint", secret_id=client.token_id)
        last_use.note(client.token_id)
    return {"access_token": text, "token_type": "Bearer", "expires_in": int(lifetime.total_seconds())}


def _invalid_client(message: str) -> TokenError:
    return TokenError("invalid_client", message, status=401, headers={"WWW-Authenticate": 'Basic realm="isthmus"'})
