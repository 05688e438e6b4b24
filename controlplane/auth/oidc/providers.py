"""Asks issuers over the network: for endpoints, keys, claims about people, and whether a token is valid.

Endpoints come from discovery (OpenID Connect Discovery 1.0), whose `issuer` must be the configured one. Endpoints and
keys are remembered for ISSUER_MEMORY seconds, and longer while the issuer is down. Circuit breaker: an issuer that does
not answer is asked again after ISSUER_RETRY seconds; until then calls raise Unavailable at once, so that one dead
issuer does not block all threads.
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from django.conf import settings
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from controlplane import remembered
from controlplane.auth.oidc import http
from controlplane.auth.oidc.issuer_file import is_safe
from controlplane.errors import Unauthenticated, Unavailable

if TYPE_CHECKING:
    from collections.abc import Callable

    from controlplane.auth.oidc.http import Answered
    from controlplane.auth.oidc.issuer import Issuer

logger = logging.getLogger(__name__)
T = TypeVar("T")
_ENDPOINTS = {
    "authorization_endpoint": True,
    "token_endpoint": True,
    "jwks_uri": True,
    "userinfo_endpoint": False,
    "introspection_endpoint": False,
    "end_session_endpoint": False,
}


@dataclass(frozen=True)
class Metadata:
    """An issuer's endpoints, "" if it has none. announces_iss: whether its callbacks carry `iss` (RFC 9207).

    posts_secret: whether to send the client's secret in the form, because the issuer does not support HTTP Basic.
    """

    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str = ""
    introspection_endpoint: str = ""
    end_session_endpoint: str = ""
    announces_iss: bool = False
    posts_secret: bool = False


def metadata(issuer: Issuer) -> Metadata:
    """Returns the issuer's endpoints. Raises Unavailable."""
    return _provider(issuer).metadata.value()


def keys(issuer: Issuer, *, kid: str | None = None) -> KeySet:
    """Returns the issuer's public keys; loads them again if `kid` is not among them. Raises Unavailable."""
    return _provider(issuer).keys.value(lacks=lambda known: kid is not None and all(key.kid != kid for key in known))


def userinfo(issuer: Issuer, access_token: str) -> dict[str, Any]:
    """Returns the claims about the access token's owner. Raises Unavailable, and Unauthenticated if it is refused."""
    endpoint = _needed(issuer, metadata(issuer).userinfo_endpoint, "userinfo")
    return _claims(issuer, http.get(issuer, endpoint, bearer=access_token), "userinfo")


def introspect(issuer: Issuer, token: str) -> dict[str, Any]:
    """Returns the issuer's claims about its token (RFC 7662); `active` is False for a bad one. Raises Unavailable."""
    known = metadata(issuer)
    endpoint = _needed(issuer, known.introspection_endpoint, "introspection")
    form = {"token": token, "token_type_hint": "access_token"}
    answer = http.post(issuer, endpoint, form, posts_secret=known.posts_secret)
    if answer.status in {400, 401, 403}:  # the issuer refuses our client, not the token
        raise _silent(issuer, f"introspection answers {answer.status}: our client may not ask")
    return _claims(issuer, answer, "introspection")


def exchange(issuer: Issuer, form: dict[str, str]) -> dict[str, Any]:
    """Returns the token endpoint's answer to a grant. Raises Unavailable, and Unauthenticated if it is refused."""
    known = metadata(issuer)
    return _claims(issuer, http.post(issuer, known.token_endpoint, form, posts_secret=known.posts_secret), "token")


def known() -> list[Metadata]:
    """Returns the remembered endpoints of all issuers, without asking any of them."""
    return [found for each in [*_providers.values()] if (found := each.metadata.remembered) is not None]


class Published(Generic[T]):
    """A document that an issuer publishes, with its age. Only one thread reloads it; others use the old value."""

    def __init__(self, load: Callable[[], T]) -> None:
        self._load = load
        self._lock = threading.Lock()
        self._value: T | None = None
        self._loaded_at = self._tried_at = float("-inf")
        self._silence: Unavailable | None = None

    @property
    def remembered(self) -> T | None:
        """The last value of any age, or None."""
        return self._value

    def value(self, *, lacks: Callable[[T], bool] = lambda _: False) -> T:
        """Returns the value; reloads it if it is too old or `lacks(value)`. Raises Unavailable if there is none."""
        known = self._value
        if known is not None and not self._is_due(known, lacks):
            return known
        if not self._lock.acquire(blocking=known is None):
            assert known is not None  # noqa: S101  (without a value, acquire() waits and returns True)
            return known
        try:
            return self._reload(lacks)
        finally:
            self._lock.release()

    def _is_due(self, known: T, lacks: Callable[[T], bool]) -> bool:
        now = time.monotonic()
        if now - self._tried_at < settings.ISSUER_RETRY:
            return False
        return now - self._loaded_at >= settings.ISSUER_MEMORY or lacks(known)

    def _reload(self, lacks: Callable[[T], bool]) -> T:
        """Loads the value. The caller holds the lock."""
        # Another thread may have loaded it while this one waited for the lock.
        known = self._value
        if known is not None and not self._is_due(known, lacks):
            return known
        if known is None and self._silence and time.monotonic() - self._tried_at < settings.ISSUER_RETRY:
            raise Unavailable(self._silence.message)
        try:
            known = self._load()
        except Unavailable as silence:
            self._silence = silence
            if known is None:
                raise
        else:
            self._value, self._silence, self._loaded_at = known, None, time.monotonic()
        finally:
            self._tried_at = time.monotonic()
        return known


class _Provider:
    """The remembered documents of one issuer."""

    def __init__(self, issuer: Issuer) -> None:
        self.metadata = Published(lambda: _discover(issuer))
        self.keys = Published(lambda: _fetch_keys(issuer, self.metadata.value()))


_providers: dict[str, _Provider] = {}
remembered.registered(_providers.clear)


def _provider(issuer: Issuer) -> _Provider:
    return _providers.get(issuer.issuer) or _providers.setdefault(issuer.issuer, _Provider(issuer))


def _discover(issuer: Issuer) -> Metadata:
    found = _published(issuer, f"{issuer.issuer.rstrip('/')}/.well-known/openid-configuration")
    if found.get("issuer") != issuer.issuer:
        raise _silent(issuer, f"discovery names the issuer {found.get('issuer')!r}")
    endpoints: dict[str, str] = {}
    for name, is_required in _ENDPOINTS.items():
        url = found.get(name, "")
        if not isinstance(url, str) or (is_required and not url) or (url and not is_safe(url)):
            raise _silent(issuer, f"discovery has {url!r} for {name}")
        endpoints[name] = url
    methods = found.get("token_endpoint_auth_methods_supported")
    return Metadata(
        **endpoints,
        announces_iss=found.get("authorization_response_iss_parameter_supported") is True,
        posts_secret=isinstance(methods, list) and "client_secret_basic" not in methods,
    )


def _fetch_keys(issuer: Issuer, known: Metadata) -> KeySet:
    found = _published(issuer, known.jwks_uri)
    try:
        keys = list(found["keys"])
        # A published symmetric key ("oct") would let anybody sign tokens.
        if not all(isinstance(key, dict) and key.get("kty") != "oct" for key in keys):
            raise ValueError("no public key")
        return KeySet.import_key_set({"keys": keys})
    except (JoseError, KeyError, TypeError, ValueError) as error:
        raise _silent(issuer, f"its keys cannot be read ({type(error).__name__})") from error


def _published(issuer: Issuer, url: str) -> dict[str, Any]:
    answer = http.get(issuer, url)
    if answer.status != 200:
        raise _silent(issuer, f"{url} answers {answer.status}")
    return _object(issuer, answer, url)


def _claims(issuer: Issuer, answer: Answered, what: str) -> dict[str, Any]:
    if answer.status in {400, 401, 403}:
        raise Unauthenticated(f"{issuer.name} did not accept the login or the token; please log in again.")
    if answer.status != 200:
        raise _silent(issuer, f"{what} answers {answer.status}")
    return _object(issuer, answer, what)


def _object(issuer: Issuer, answer: Answered, what: str) -> dict[str, Any]:
    found = answer.json()
    if not isinstance(found, dict):
        raise _silent(issuer, f"{what} answers no JSON object")
    return found


def _needed(issuer: Issuer, endpoint: str, what: str) -> str:
    if not endpoint:
        raise _silent(issuer, f"discovery names no {what} endpoint")
    return endpoint


def _silent(issuer: Issuer, why: str) -> Unavailable:
    """Logs the reason for operators, and returns the error for the caller, who must retry later."""
    logger.warning("issuer away", extra={"issuer": issuer.alias, "why": why})
    return Unavailable(http.away(issuer))
