"""Our own addresses, as the outside calls them, and which ones a page may send forms to."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from django.conf import settings
from django.urls import reverse

from controlplane.auth.oidc import issuers, providers

if TYPE_CHECKING:
    from django.http import HttpRequest

    from controlplane.auth.oidc.issuer import Issuer


def absolute(request: HttpRequest, path: str) -> str:
    """With the host of PUBLIC_URL, or the one that was asked for where that is not set."""
    return settings.PUBLIC_URL.rstrip("/") + path if settings.PUBLIC_URL else request.build_absolute_uri(path)


def callback_url(request: HttpRequest, issuer: Issuer) -> str:
    """The redirect URI that is registered with the issuer."""
    return absolute(request, reverse("oidc-callback", kwargs={"alias": issuer.alias}))


def content_policy() -> str:
    """The CSP of our pages: nothing but our own style sheet; forms to us, and on to the issuers (at logout)."""
    origins = {_origin(issuer.issuer) for issuer in issuers.configured()}
    origins |= {_origin(known.end_session_endpoint) for known in providers.known() if known.end_session_endpoint}
    forms = " ".join(["'self'", *sorted(origins)])
    return (
        "default-src 'none'; style-src 'self'; img-src 'self'; base-uri 'none'; frame-ancestors 'none'; "
        f"form-action {forms}"
    )


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
