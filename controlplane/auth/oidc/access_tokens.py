"""Checks whether the claims of a signed or introspected token are an access token for this service, and its limits.

Has no side effects. It checks times, type, audience and binding, in this order, and reports the first error.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from controlplane.auth.oidc.issuer import PROFILES
from controlplane.auth.roles import Scope
from controlplane.errors import InvalidToken

if TYPE_CHECKING:
    from collections.abc import Mapping

    from controlplane.auth.oidc.issuer import Issuer

#: How much an issuer's clock may differ from ours, in seconds.
LEEWAY = 60
#: The audience of tokens in the WLCG profile that were requested without an audience.
WLCG_ANY = "https://wlcg.cern.ch/jwt/v1/any"
#: WLCG's capabilities and the scopes that they give here. compute.modify gives none: nothing can be modified yet.
CAPABILITIES = {
    "compute.read": Scope.READ,
    "compute.create": Scope.SUBMIT,
    "compute.cancel": Scope.CANCEL,
    "compute.modify": None,
}
_HEADER_TYPES = {"", "jwt", "at+jwt"}  # at+jwt is from RFC 9068; the others are older
_ACCESS_TYPES = {"bearer", "access_token", "at+jwt"}
_OF_ID_TOKENS = ("nonce", "at_hash", "c_hash", "s_hash")
_OF_ACCESS_TOKENS = ("scope", "scp", "client_id")
_LATEST = 1e11  # epoch seconds: a larger number is an error, and might overflow in comparisons


@dataclass(frozen=True)
class Access:
    """A valid access token. subject: "" for a client's token without a subject. until: expiry, epoch seconds, or None.

    scopes: our scopes that limit the token, None for no limit. by_capability: whether WLCG's capabilities decide
    instead of the person's groups.
    """

    subject: str
    client: str
    until: float | None
    scopes: frozenset[str] | None
    by_capability: bool


def judge(issuer: Issuer, claims: Mapping[str, Any], *, header: Mapping[str, Any], now: float) -> Access:
    """Checks the claims and returns what the token allows. now: epoch seconds. Raises InvalidToken with a sentence."""
    until = _check_times(claims, now=now)
    _check_type(issuer, claims, header)
    client = _text(claims, "azp") or _text(claims, "client_id")
    is_for_us = _is_for_us(issuer, claims, client)
    if claims.get("cnf") is not None:
        raise InvalidToken(
            "This token is bound to a certificate or a key (`cnf`), which is not supported here:"
            " ask your issuer for a token without it."
        )
    capabilities = _capabilities(claims)
    subject = _text(claims, "sub")
    if len(subject) > 255 or "\0" in subject or not (subject or capabilities is not None):
        raise InvalidToken("This token does not name its owner (`sub`).")
    scopes = capabilities
    # Without our audience, another service that received such a token could use it here; so it may only read.
    # Exceptions are the clients of the operator's list, and capabilities, which the issuer gave on purpose. A shared
    # client is never an exception.
    is_reusable = client in issuer.shared_clients or (client not in issuer.clients and capabilities is None)
    if not is_for_us and is_reusable:
        scopes = frozenset({str(Scope.READ)}) & (scopes if scopes is not None else {str(Scope.READ)})
    return Access(subject, client, until, scopes, by_capability=capabilities is not None)


def _check_times(claims: Mapping[str, Any], *, now: float) -> float | None:
    """Checks exp, iat and nbf, and returns exp (epoch seconds). Introspection may omit exp, a JWT may not."""
    until = _time(claims, "exp")
    if until is not None and until + LEEWAY <= now:
        raise InvalidToken("This token has expired: ask your issuer for a new one.")
    for name in ("iat", "nbf"):
        since = _time(claims, name)
        if since is not None and since - LEEWAY > now:
            raise InvalidToken(f"This token is not valid yet (`{name}`): one of the clocks is wrong.")
    return until


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _LATEST:
        raise InvalidToken(f"The value of `{name}` in this token is not a time.")
    return float(value)


def _check_type(issuer: Issuer, claims: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Raises InvalidToken unless this is an access token: issuers sign other tokens with the same keys."""
    kind = str(header.get("typ", "")).lower().removeprefix("application/")
    stated = [str(claims[name]).lower() for name in ("typ", "token_type") if claims.get(name) is not None]
    is_wrong = kind not in _HEADER_TYPES or "events" in claims or any(each not in _ACCESS_TYPES for each in stated)
    # Keycloak once wrote a nonce into access tokens too, but it states the type. So the other claims decide only if the
    # issuer states no type: an ID token is for our login and has no scopes, or has claims that only a login needs.
    if not stated and kind != "at+jwt":
        is_login = _audience(claims) == {issuer.client_id} and not any(name in claims for name in _OF_ACCESS_TOKENS)
        is_wrong = is_wrong or is_login or any(name in claims for name in _OF_ID_TOKENS)
    if is_wrong:
        raise InvalidToken("Not an access token: send the access token, not an ID token or a refresh token.")


def _is_for_us(issuer: Issuer, claims: Mapping[str, Any], client: str) -> bool:
    """Returns whether the audience names us. False: its client, or WLCG_ANY, makes the token acceptable without that.

    Raises InvalidToken if the token is for another service.
    """
    if "aud" in claims:
        names = _audience(claims)
        if names & issuer.audiences - {WLCG_ANY}:
            return True
        if WLCG_ANY in names and issuer.profile == PROFILES["wlcg-iam"]:
            return False
        raise InvalidToken("This token was issued for another service: ask your issuer for one whose `aud` names this.")
    if client and client in issuer.clients | issuer.shared_clients:
        return False
    raise InvalidToken("This token names no audience, and the client that it was issued to is not known here.")


def _audience(claims: Mapping[str, Any]) -> set[str]:
    audience = claims.get("aud")
    values = audience if isinstance(audience, list) else [audience]
    return {each for each in values if isinstance(each, str)}


def _capabilities(claims: Mapping[str, Any]) -> frozenset[str] | None:
    """Returns our scopes for the token's `compute.*` scopes; None if it has no `compute.*` scope."""
    scope = claims.get("scope")
    words = scope.split() if isinstance(scope, str) else scope if isinstance(scope, list) else []
    found = {word for word in words if isinstance(word, str) and word.startswith("compute.")}
    if not found:
        return None
    return frozenset(str(ours) for word in found if (ours := CAPABILITIES.get(word)) is not None)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
