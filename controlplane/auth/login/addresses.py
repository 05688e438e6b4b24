"""Our own public addresses, and the Content-Security-Policy of our pages."""

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
    """Returns the URL of a path on this service, with the host of PUBLIC_URL, or else of the request."""
    return settings.PUBLIC_URL.rstrip("/") + path if settings.PUBLIC_URL else request.build_absolute_uri(path)


def callback_url(request: HttpRequest, issuer: Issuer) -> str:
    """Returns the redirect URI that is registered with the issuer."""
    return absolute(request, reverse("oidc-callback", kwargs={"alias": issuer.alias}))


def content_policy() -> str:
    """Returns the CSP of our pages: only our own style sheets and images, no scripts, forms to us and to the issuers.

    The logout form needs the issuers: it redirects the browser to them.
    """
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
