"""Validates ID tokens (OpenID Connect Core 1.0, 3.1.3.7): issued to us, by this issuer, for this login."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from controlplane.auth.oidc import signatures
from controlplane.errors import Unauthenticated

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.auth.oidc.issuer import Issuer

#: How much an issuer's clock may differ from ours, in seconds.
LEEWAY = 60
#: The longest ID token, in characters. It may contain the groups of a person who is in many.
_LONGEST = 256 * 1024
_LONGEST_SUBJECT = 255


def claims_of(issuer: Issuer, token: Any, *, nonce: str, now: datetime) -> dict[str, Any]:
    """Returns the claims of a valid ID token. Raises Unauthenticated, and Unavailable without the issuer's keys."""
    if not isinstance(token, str):
        raise Unauthenticated(f"{issuer.name} did not say who you are (there is no ID token in its answer).")
    header, claims = signatures.signed(issuer, token, longest=_LONGEST)
    problem = _problem(issuer, header, claims, now.timestamp())
    sent = claims.get("nonce")
    if not isinstance(sent, str) or not nonce or not compare_digest(sent.encode(errors="replace"), nonce.encode()):
        problem = problem or "belongs to another login"
    if problem:
        raise Unauthenticated(f"The ID token of {issuer.name} {problem}; please log in again.")
    return claims


def _problem(issuer: Issuer, header: dict[str, Any], claims: dict[str, Any], now: float) -> str:
    """Returns what is wrong with the token, as the end of a sentence; "" if nothing is."""
    audience, party, subject = claims.get("aud"), claims.get("azp", issuer.client_id), claims.get("sub")
    audiences = audience if isinstance(audience, list) else [audience]
    if str(header.get("typ", "JWT")).upper() != "JWT" or claims.get("typ", "ID") != "ID":
        return "is a token of another kind"
    if claims.get("iss") != issuer.issuer:
        return "comes from another issuer"
    if issuer.client_id not in audiences or party != issuer.client_id or (len(audiences) > 1 and "azp" not in claims):
        return "was issued to another service"
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT or not subject.isprintable():
        return "does not say who you are (`sub`)"
    return _out_of_time(claims, now)


def _out_of_time(claims: dict[str, Any], now: float) -> str:
    if not _is_number(claims.get("exp")) or claims["exp"] <= now - LEEWAY:
        return "has expired, or the clocks there and here differ"
    for begin in ("iat", "nbf"):
        if begin in claims and not (_is_number(claims[begin]) and claims[begin] <= now + LEEWAY):
            return "is from the future: the clocks there and here differ"
    return ""


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
