"""Whether claims that an issuer has signed, or told us by introspection, are an access token for us, and for what.

Pure: claims in, a verdict out. The order is times, type, audience, binding; the first that is wrong is told.
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

#: Seconds by which clocks may differ.
LEEWAY = 60
#: Whoever asks for a token without an audience gets this one in the WLCG profile.
WLCG_ANY = "https://wlcg.cern.ch/jwt/v1/any"
#: WLCG's capabilities as scopes of ours. There is nothing yet that compute.modify would change.
CAPABILITIES = {
    "compute.read": Scope.READ,
    "compute.create": Scope.SUBMIT,
    "compute.cancel": Scope.CANCEL,
    "compute.modify": None,
}
_HEADER_TYPES = {"", "jwt", "at+jwt"}  # RFC 9068's, and what issuers wrote before it
_ACCESS_TYPES = {"bearer", "access_token", "at+jwt"}
_OF_ID_TOKENS = ("nonce", "at_hash", "c_hash", "s_hash")
_OF_ACCESS_TOKENS = ("scope", "scp", "client_id")
_LATEST = 1e11  # later times are no times, and would not fit where numbers are compared


@dataclass(frozen=True)
class Access:
    """A good access token. subject: "" for a client's without one. until: its end, epoch seconds, None if not told.

    scopes: of ours, to which it is confined, None for no such bound. by_capability: whether WLCG's capabilities decide
    instead of the person's groups.
    """

    subject: str
    client: str
    until: float | None
    scopes: frozenset[str] | None
    by_capability: bool


def judge(issuer: Issuer, claims: Mapping[str, Any], *, header: Mapping[str, Any], now: float) -> Access:
    """What the claims allow. now: epoch seconds. Raises InvalidToken with one sentence."""
    until = _times(claims, now=now)
    _type(issuer, claims, header)
    client = _text(claims, "azp") or _text(claims, "client_id")
    is_for_us = _is_for_us(issuer, claims, client)
    if claims.get("cnf") is not None:
        raise InvalidToken(
            "This token is bound to a certificate or a key (`cnf`), which cannot be shown here yet:"
            " ask your issuer for one without."
        )
    capabilities = _capabilities(claims)
    subject = _text(claims, "sub")
    if len(subject) > 255 or "\0" in subject or not (subject or capabilities is not None):
        raise InvalidToken("This token does not say whose it is (`sub`).")
    scopes = capabilities
    if not is_for_us and _may_be_anybodys(issuer, client, by_capability=capabilities is not None):
        scopes = frozenset({str(Scope.READ)}) & (scopes if scopes is not None else {str(Scope.READ)})
    return Access(subject, client, until, scopes, by_capability=capabilities is not None)


def _times(claims: Mapping[str, Any], *, now: float) -> float | None:
    """exp, iat and nbf; a JWT's exp is there (bearer_tokens.py), introspection may leave it out."""
    until = _time(claims, "exp")
    if until is not None and until + LEEWAY <= now:
        raise InvalidToken("This token has expired: ask your issuer for a new one.")
    for name in ("iat", "nbf"):
        since = _time(claims, name)
        if since is not None and since - LEEWAY > now:
            raise InvalidToken(f"This token is not good yet (`{name}`): one of the clocks is wrong.")
    return until


def _time(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < _LATEST:
        raise InvalidToken(f"This token has no time for `{name}`.")
    return float(value)


def _type(issuer: Issuer, claims: Mapping[str, Any], header: Mapping[str, Any]) -> None:
    """Access tokens only: the others are signed with the same keys."""
    kind = str(header.get("typ", "")).lower().removeprefix("application/")
    said = [str(claims[name]).lower() for name in ("typ", "token_type") if claims.get(name) is not None]
    is_wrong = kind not in _HEADER_TYPES or "events" in claims or any(each not in _ACCESS_TYPES for each in said)
    # Keycloak once wrote a nonce into access tokens as well, and says of each token what it is.
    is_said = bool(said) or kind == "at+jwt"
    if is_wrong or (not is_said and _looks_like_an_id_token(issuer, claims)):
        raise InvalidToken("This is no access token: send that one, and neither an ID token nor a refresh token.")


def _looks_like_an_id_token(issuer: Issuer, claims: Mapping[str, Any]) -> bool:
    """Those of issuers that do not say: made for our login, with what only a login needs, and without scopes."""
    is_of_our_login = _names(claims) == {issuer.client_id} and not any(name in claims for name in _OF_ACCESS_TOKENS)
    return is_of_our_login or any(name in claims for name in _OF_ID_TOKENS)


def _is_for_us(issuer: Issuer, claims: Mapping[str, Any], client: str) -> bool:
    """Whether it names us. Where it names anybody or nobody, it is for us by the client that it was issued to."""
    if "aud" in claims:
        names = _names(claims)
        if names & issuer.audiences - {WLCG_ANY}:
            return True
        if WLCG_ANY in names and issuer.profile == PROFILES["wlcg-iam"]:
            return False
        raise InvalidToken("This token was issued for another service: ask your issuer for one whose `aud` names this.")
    if client and client in issuer.clients | issuer.shared_clients:
        return False
    raise InvalidToken("This token names no audience, and the client that it was issued to is not among those known.")


def _may_be_anybodys(issuer: Issuer, client: str, *, by_capability: bool) -> bool:
    """Whether any service that somebody has shown the token to could show it here as well.

    A client's that nobody here knows gets so far by WLCG_ANY alone; its capabilities are what its issuer meant.
    """
    return client in issuer.shared_clients or (client not in issuer.clients and not by_capability)


def _names(claims: Mapping[str, Any]) -> set[str]:
    audience = claims.get("aud")
    values = audience if isinstance(audience, list) else [audience]
    return {each for each in values if isinstance(each, str)}


def _capabilities(claims: Mapping[str, Any]) -> frozenset[str] | None:
    """Ours for each `compute.*` scope; None where there is none of those."""
    scope = claims.get("scope")
    words = scope.split() if isinstance(scope, str) else scope if isinstance(scope, list) else []
    found = {word for word in words if isinstance(word, str) and word.startswith("compute.")}
    if not found:
        return None
    return frozenset(str(ours) for word in found if (ours := CAPABILITIES.get(word)) is not None)


def _text(claims: Mapping[str, Any], name: str) -> str:
    value = claims.get(name)
    return value if isinstance(value, str) else ""
