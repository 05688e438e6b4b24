"""Sends requests to issuers, with limits: a time-out to connect and to answer, a largest size, no redirects.

Only operators configure issuers, so their addresses are trusted. The limits protect us from slow or broken ones.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote_plus

import requests
from django.conf import settings
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import HTTPError

from controlplane.errors import Unavailable

if TYPE_CHECKING:
    from controlplane.auth.oidc.issuer import Issuer

logger = logging.getLogger(__name__)
#: The largest answer, in bytes. A key set, or the claims of a person in many groups, has some tens of KiB.
_LARGEST = 1024 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Answered:
    """An issuer's answer, with any status."""

    status: int
    body: bytes

    def json(self) -> Any:
        """Returns the parsed body, None if it is not JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class _Bearer(AuthBase):
    """Sends a bearer token, or, with "", nothing: any `auth` keeps `requests` from reading a .netrc file."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def get(issuer: Issuer, url: str, *, bearer: str = "") -> Answered:
    """Sends a GET. Raises Unavailable if there is no answer in time, or it is too large."""
    return _send(issuer, "GET", url, _Bearer(bearer), None)


def post(issuer: Issuer, url: str, form: dict[str, str], *, posts_secret: bool = False) -> Answered:
    """Posts a form, authenticated as the issuer's client: in the form with `posts_secret`, else by HTTP Basic.

    Raises Unavailable if there is no answer in time, or it is too large.
    """
    if posts_secret:
        form = {**form, "client_id": issuer.client_id, "client_secret": issuer.client_secret}
        return _send(issuer, "POST", url, _Bearer(""), form)
    # RFC 6749, 2.3.1: id and secret are form-encoded before they are joined.
    basic = HTTPBasicAuth(quote_plus(issuer.client_id), quote_plus(issuer.client_secret))
    return _send(issuer, "POST", url, basic, form)


def away(issuer: Issuer) -> str:
    """Returns the sentence that asks a person to wait for the issuer."""
    return f"{issuer.name} does not answer as it should at the moment; please try again in a minute."


def _send(issuer: Issuer, method: str, url: str, auth: AuthBase, form: dict[str, str] | None) -> Answered:
    timeout = settings.ISSUER_TIMEOUT
    until = time.monotonic() + 2 * timeout
    try:
        with requests.request(
            method, url, auth=auth, data=form, timeout=timeout, allow_redirects=False, stream=True,
            headers={"Accept": "application/json"},
        ) as response:  # fmt: skip
            return Answered(response.status_code, _body(response, until))
    except (requests.RequestException, HTTPError, OSError, _TooMuch) as error:
        logger.warning("issuer away", extra={"issuer": issuer.alias, "url": url, "why": type(error).__name__})
        raise Unavailable(away(issuer)) from error


class _TooMuch(Exception):
    """The answer is too large, or too slow as a whole: the time-out of `requests` limits only pauses between bytes."""


def _body(response: requests.Response, until: float) -> bytes:
    """Reads the body in pieces as they arrive: waiting for a full chunk could last as long as a slow sender likes."""
    body = b""
    while piece := response.raw.read1(_CHUNK, decode_content=True):
        body += piece
        if len(body) > _LARGEST or time.monotonic() > until:
            raise _TooMuch
    return body
