"""Verifies access tokens of identity providers.

It checks the length, finds the issuer by its exact `iss` (an unknown issuer is never contacted), and checks algorithm
and signature; then access_tokens.py checks the claims. A token that is not a JWT is introspected, at the issuers for
which the operator enabled that. If an issuer does not answer, its own tokens are refused as Unavailable, and it is not
asked again for a few seconds.
"""

from __future__ import annotations

import base64
import json
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controlplane.auth.oidc import access_tokens, issuers, providers, signatures
from controlplane.errors import InvalidToken, Unauthenticated, Unavailable
from controlplane.remembered import Remembered

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from controlplane.auth.oidc.access_tokens import Access
    from controlplane.auth.oidc.issuer import Issuer

#: RFC 6750, 2.1: the characters of a bearer token.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_PAUSE = 5.0  # seconds without a call to introspection and userinfo of an issuer that timed out
_silent: Remembered[Issuer, None] = Remembered(at_most=1000)


@dataclass(frozen=True)
class Verified:
    """A valid token. claims: what the token or its introspection says about the owner."""

    issuer: Issuer
    claims: Mapping[str, Any]
    access: Access


def verified(text: str) -> Verified:
    """Verifies an identity provider's token. Raises InvalidToken, and Unavailable if its issuer does not answer."""
    if len(text) > signatures.LONGEST:
        raise InvalidToken("This token is too long.")
    if not _TOKEN.fullmatch(text):
        raise InvalidToken("Not a token: it has invalid characters.")
    claims = _unverified_claims(text)
    if claims is None:
        return _introspected(text)
    issuer = issuers.by_issuer(claims["iss"]) if isinstance(claims.get("iss"), str) else None
    if issuer is None:
        raise InvalidToken("This token comes from an issuer that is not known here.")
    try:
        header, claims = signatures.signed(issuer, text)
    except Unauthenticated as error:
        raise InvalidToken(error.message) from error
    access = access_tokens.judge(issuer, claims, header=header, now=time.time())
    if access.until is None:
        raise InvalidToken("This token has no expiry time (`exp`).")
    return Verified(issuer, claims, access)


def more_claims(found: Verified, text: str) -> Mapping[str, Any]:
    """Returns the claims, completed by introspection, or else userinfo, if these are about the same person.

    Returns them unchanged if the issuer refuses the token (no `openid` scope, a client's own token). Raises
    Unavailable.
    """
    ask = providers.introspect if found.issuer.introspection else providers.userinfo
    try:
        more = _ask(ask, found.issuer, text)
    except Unauthenticated:
        return found.claims
    if more.get("active", True) is not True or more.get("sub", found.access.subject) != found.access.subject:
        return found.claims
    return {**more, **found.claims}


def _introspected(text: str) -> Verified:
    """Verifies an opaque token: asks each issuer until one knows it. Raises InvalidToken and Unavailable."""
    silence = None
    for issuer in issuers.configured():
        if not issuer.introspection:
            continue
        try:
            claims = _ask(providers.introspect, issuer, text)
        except Unavailable as error:
            silence = error  # another issuer may know the token
            continue
        if claims.get("active") is True and claims.get("iss", issuer.issuer) == issuer.issuer:
            return Verified(issuer, claims, access_tokens.judge(issuer, claims, header={}, now=time.time()))
    raise silence or InvalidToken("This token is not one of ours, and no issuer here knows it.")


def _ask(ask: Callable[[Issuer, str], dict[str, Any]], issuer: Issuer, text: str) -> dict[str, Any]:
    """Circuit breaker: after a time-out, raises Unavailable at once for _PAUSE seconds instead of asking the issuer."""
    if issuer in _silent:
        raise Unavailable(f"{issuer.name} does not answer at the moment; please try again in a minute.")
    try:
        return ask(issuer, text)
    except Unavailable:
        _silent.put(issuer, None, seconds=_PAUSE)
        raise


def _unverified_claims(text: str) -> dict[str, Any] | None:
    """Returns the claims of a JWT without verification, None if it is not a JWT. Use them only to find the issuer."""
    parts = text.split(".")
    if len(parts) != 3:
        return None
    header, claims = _decoded(parts[0]), _decoded(parts[1])
    if not isinstance(header, dict) or "alg" not in header:
        return None
    return claims if isinstance(claims, dict) else {}


def _decoded(part: str) -> Any:
    try:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, RecursionError):
        return None
