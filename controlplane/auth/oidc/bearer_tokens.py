"""Access tokens that identity providers issued: what is in one, once it is known to be good.

Length, exact look-up of `iss` (a stranger is never asked anything), algorithm and signature, then what access_tokens.py
judges. What is no JWT is introspected, at the issuers for which the operator says so. One that does not answer is
Unavailable, for its own tokens alone, and left in peace for a moment.
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

#: RFC 6750: the only characters of a bearer token.
_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_PAUSE = 5.0  # seconds for which a silent introspection or userinfo is not asked again
_silent: Remembered[Issuer, None] = Remembered(at_most=1000)


@dataclass(frozen=True)
class Verified:
    """A good token. claims: all that is known of its owner by now."""

    issuer: Issuer
    claims: Mapping[str, Any]
    access: Access


def verified(text: str) -> Verified:
    """What a foreign token says. Raises InvalidToken, and Unavailable while its issuer does not answer."""
    if len(text) > signatures.LONGEST:
        raise InvalidToken("This token is too long to be looked at.")
    if not _TOKEN.fullmatch(text):
        raise InvalidToken("This is no token: it has characters that no token has.")
    claims = _unverified(text)
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
        raise InvalidToken("This token has no end (`exp`).")
    return Verified(issuer, claims, access)


def more_claims(found: Verified, text: str) -> Mapping[str, Any]:
    """The claims with what introspection, or else userinfo, adds about the same person. Raises Unavailable.

    A token that may not ask (no `openid` scope, a client's own) adds nothing.
    """
    ask = providers.introspect if found.issuer.introspection else providers.userinfo
    try:
        told = _asked(ask, found.issuer, text)
    except Unauthenticated:
        return found.claims
    if told.get("active", True) is not True or told.get("sub", found.access.subject) != found.access.subject:
        return found.claims
    return {**told, **found.claims}


def _introspected(text: str) -> Verified:
    """An opaque token: the first issuer that knows it vouches for it."""
    silence = None
    for issuer in issuers.configured():
        if not issuer.introspection:
            continue
        try:
            claims = _asked(providers.introspect, issuer, text)
        except Unavailable as error:
            silence = error  # perhaps another one knows it
            continue
        if claims.get("active") is True and claims.get("iss", issuer.issuer) == issuer.issuer:
            return Verified(issuer, claims, access_tokens.judge(issuer, claims, header={}, now=time.time()))
    raise silence or InvalidToken("This token is neither one of ours nor known to any issuer here.")


def _asked(ask: Callable[[Issuer, str], dict[str, Any]], issuer: Issuer, text: str) -> dict[str, Any]:
    """At most one wait a moment for an issuer that has stopped answering, whoever shows its tokens."""
    if issuer in _silent:
        raise Unavailable(f"{issuer.name} does not answer at the moment; please try again in a minute.")
    try:
        return ask(issuer, text)
    except Unavailable:
        _silent.put(issuer, None, seconds=_PAUSE)
        raise


def _unverified(text: str) -> dict[str, Any] | None:
    """The claims of a JWT as they stand there, None where it is none; only its `iss` is read of them."""
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
