"""ID tokens (OpenID Connect Core 1.0, 3.1.3.7): who has just logged in at the issuer, told to us, for this login."""

from __future__ import annotations

from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from controlplane.auth.oidc import signatures
from controlplane.errors import Unauthenticated

if TYPE_CHECKING:
    from datetime import datetime

    from controlplane.auth.oidc.issuer import Issuer

#: By how many seconds an issuer's clock may differ from ours.
LEEWAY = 60
#: It may carry the groups of somebody who is in many.
_LONGEST = 256 * 1024
_LONGEST_SUBJECT = 255


def claims_of(issuer: Issuer, token: Any, *, nonce: str, now: datetime) -> dict[str, Any]:
    """The claims of a good ID token. Raises Unauthenticated with one sentence, and Unavailable without keys."""
    if not isinstance(token, str):
        raise Unauthenticated(f"{issuer.name} did not say who you are (there is no ID token in its answer).")
    header, claims = signatures.signed(issuer, token, longest=_LONGEST)
    wrong = _wrong(issuer, header, claims, now.timestamp())
    if not wrong and not _is_text(claims.get("nonce"), nonce):
        wrong = "belongs to another login than this one"
    if wrong:
        raise Unauthenticated(f"The ID token of {issuer.name} {wrong}; please log in again.")
    return claims


def _wrong(issuer: Issuer, header: dict[str, Any], claims: dict[str, Any], now: float) -> str:
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


def _is_text(value: Any, wanted: str) -> bool:
    return isinstance(value, str) and bool(wanted) and compare_digest(value.encode(errors="replace"), wanted.encode())
