"""POST /oauth2/token: gives a virtual node a short-lived token for its client credentials (RFC 6749, 4.4 and 6).

It serves the refresh sidecar of the interLink Helm chart, which sends a form with `grant_type=client_credentials` or
`refresh_token`, the same credentials in HTTP Basic and in the form, and an `audience`, which is ignored. client_id is
the node's slug, client_secret a token of kind client. A refresh token is also such a client secret. It never changes:
if it did, a sidecar that lost the answer with the new one could not continue. See docs/tokens.md.
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
_LONGEST_FORM = 16 * 1024  # bytes
_FIELDS = ("grant_type", "client_id", "client_secret", "refresh_token")
_UNKNOWN = "The client does not exist, or the secret is wrong."


class TokenError(Exception):
    """An error answer of RFC 6749, section 5.2: its code, one sentence, the HTTP status and extra headers."""

    def __init__(self, code: str, message: str, *, status: int = 400, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.status, self.headers = code, message, status, headers or {}


@csrf_exempt
def token(request: HttpRequest) -> JsonResponse:
    """Answers {"access_token", "token_type", "expires_in"}, for its grant "refresh_token"; errors as in RFC 6749."""
    try:
        return _answer(_grant(request))
    except TokenError as error:
        return _answer({"error": error.code, "error_description": error.message}, error.status, error.headers)
    except (OperationalError, InterfaceError) as error:
        logger.warning("database away", extra={"why": type(error).__name__})
        sentence = "The database does not answer at the moment; please try again in a minute."
        return _answer({"error": "temporarily_unavailable", "error_description": sentence}, 503, {"Retry-After": "30"})


def _answer(body: dict[str, object], status: int = 200, headers: dict[str, str] | None = None) -> JsonResponse:
    uncached = {"Cache-Control": "no-store", "Pragma": "no-cache"}
    return JsonResponse(body, status=status, headers=uncached | (headers or {}))


def _grant(request: HttpRequest) -> dict[str, object]:
    form = _form(request)
    client = _client(request, form)
    match form["grant_type"]:
        case "client_credentials":
            return _token_for(client)
        case "refresh_token":
            return _token_for(client) | {"refresh_token": _refresh_token(form, client)}
        case "":
            raise TokenError("invalid_request", "The form needs a grant_type: send grant_type=client_credentials.")
    raise TokenError("unsupported_grant_type", "The grant_type must be client_credentials or refresh_token.")


def _form(request: HttpRequest) -> dict[str, str]:
    """Returns {field: value} of the form, "" for missing fields. Raises TokenError unless it is a small POST form."""
    if request.method != "POST":
        raise TokenError("invalid_request", "Send a POST.", status=405, headers={"Allow": "POST"})
    length = request.META.get("CONTENT_LENGTH") or "0"
    if request.content_type != _FORM or not length.isdecimal() or int(length) > _LONGEST_FORM:
        raise TokenError("invalid_request", f"Send a form of at most {_LONGEST_FORM} bytes, as {_FORM}.")
    fields = {name: request.POST.getlist(name) for name in _FIELDS}
    if any(len(values) > 1 for values in fields.values()):
        raise TokenError("invalid_request", "The form has a field twice: send each field once.")
    return {name: values[0] if values else "" for name, values in fields.items()}


def _client(request: HttpRequest, form: dict[str, str]) -> FoundToken:
    """Returns the row of the client secret, sent by HTTP Basic, in the form, or both.

    Raises TokenError (invalid_client), with status 429 after too many wrong secrets; a correct one never has to wait.
    """
    sent = {pair for pair in (_basic(request), (form["client_id"], form["client_secret"])) if pair and any(pair)}
    if len(sent) != 1:
        raise _invalid_client("Send the client's id and secret; if you send them twice, send the same ones.")
    ((client_id, secret),) = sent
    try:
        return _secret(secret, slug=client_id)
    except InvalidToken as error:
        wait = failures.another("token", client_id)
        if wait:
            message = "Too many wrong secrets for this client: wait a minute, then try again."
            raise TokenError("invalid_client", message, status=429, headers={"Retry-After": str(wait)}) from None
        raise _invalid_client(error.message) from None


def _basic(request: HttpRequest) -> tuple[str, str] | None:
    """Returns (id, secret) of `Authorization: Basic`, None without it. Raises TokenError if it is malformed."""
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
    """Returns the row of a client secret of this node. Raises InvalidToken, which tells strangers nothing."""
    if token_format.kind_of(text) is not ApiToken.Kind.CLIENT:
        raise InvalidToken(_UNKNOWN)
    found = callers.checked(text, find=find_token)
    if found.kind != ApiToken.Kind.CLIENT or found.slug != slug:
        raise InvalidToken(_UNKNOWN)
    return found


def _refresh_token(form: dict[str, str], client: FoundToken) -> str:
    """Returns the refresh token: any client secret of the same node. Raises TokenError if it is not one."""
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
