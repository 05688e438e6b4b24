"""Requests to issuers, bounded: one time-out to connect and to answer, one size, no redirects.

Issuers are operators' configuration, not input of strangers; still a slow or broken one must cost no more than that.
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
#: The largest answer that is read. A key set or the claims of a person in many groups take some tens of KiB.
_LARGEST = 1024 * 1024
_CHUNK = 64 * 1024


@dataclass(frozen=True)
class Answered:
    """An issuer's answer, whatever its status."""

    status: int
    body: bytes

    def json(self) -> Any:
        """None where it is no JSON."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            return None


class _Bearer(AuthBase):
    """Also the way to keep `requests` from looking into a .netrc."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        if self._token:
            request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def get(issuer: Issuer, url: str, *, bearer: str = "") -> Answered:
    """Raises Unavailable where no answer comes, or too large a one."""
    return _asked(issuer, "GET", url, _Bearer(bearer), None)


def post(issuer: Issuer, url: str, form: dict[str, str], *, posts_secret: bool = False) -> Answered:
    """A form, sent as the issuer's client. Raises Unavailable where no answer comes, or too large a one."""
    if posts_secret:
        form = {**form, "client_id": issuer.client_id, "client_secret": issuer.client_secret}
        return _asked(issuer, "POST", url, _Bearer(""), form)
    # RFC 6749, 2.3.1: form-encoded before they are joined.
    basic = HTTPBasicAuth(quote_plus(issuer.client_id), quote_plus(issuer.client_secret))
    return _asked(issuer, "POST", url, basic, form)


def away(issuer: Issuer) -> str:
    """The sentence for whoever has to wait."""
    return f"{issuer.name} does not answer as it should at the moment; please try again in a minute."


def _asked(issuer: Issuer, method: str, url: str, auth: AuthBase, form: dict[str, str] | None) -> Answered:
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
    """The answer is too large, or comes too slowly: a time-out of `requests` counts from byte to byte."""


def _body(response: requests.Response, until: float) -> bytes:
    """Piece by piece as it arrives: to wait for a whole chunk would be to wait for as long as somebody drips it."""
    body = b""
    while piece := response.raw.read1(_CHUNK, decode_content=True):
        body += piece
        if len(body) > _LARGEST or time.monotonic() > until:
            raise _TooMuch
    return body
