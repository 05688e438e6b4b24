"""Every URL refuses anonymous visitors, except those named here with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.test import Client
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

if TYPE_CHECKING:
    from collections.abc import Iterator

OPEN = {
    "healthz": "a load balancer asks, and learns nothing",
    "readyz": "a load balancer asks, and learns nothing",
    "metrics": "figures without names of tenants; ISTHMUS_METRICS_TOKEN closes it",
    "api/v1/openapi.json": "what can be asked, and nothing of anybody",
    "api/v1/docs": "the same, to read",
    "oauth2/token": "the door itself: it asks for a client's secret",
    "": "leads to the account page",
    "login/": "the choice of doors",
    "oidc/<slug:alias>/login/": "the way to an issuer",
    "oidc/<slug:alias>/callback/": "the way back from it; what it takes was begun in the same browser",
    "logout/": "leaving is open to all",
    "admin/login/": "the door itself",
    "admin/logout/": "leaving is open to all",
    "admin/jsi18n/": "translations of the admin's scripts",
}


def urls(resolver: URLResolver, before: str = "") -> Iterator[str]:
    for pattern in resolver.url_patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from urls(pattern, path)
        elif isinstance(pattern, URLPattern):
            yield path


def filled(path: str) -> str:
    """Return the pattern with values for its parameters."""
    for hole in ("<path:object_id>", "<str:id>", "<int:content_type_id>", "<path:object_id>", "<str:app_label>"):
        path = path.replace(hole, "1")
    path = path.replace("<slug:slug>", "some-node").replace("<slug:node>", "some-node")
    return path.replace("^(?P<app_label>", "").replace(")/$", "/").replace("^", "").replace("$", "")


ALL = sorted(set(urls(get_resolver())))


def test_the_open_urls_exist() -> None:
    assert set(OPEN) <= set(ALL)


@pytest.mark.django_db
@pytest.mark.parametrize("path", [path for path in ALL if path not in OPEN])
def test_an_anonymous_visitor_is_refused(path: str) -> None:
    for method in ("get", "post"):
        answer = getattr(Client(), method)(f"/{filled(path)}")
        sent_to_login = answer.status_code == 302 and "/login/" in answer["Location"]
        assert answer.status_code in {401, 404} or sent_to_login, f"{method} {path} answers {answer.status_code}"
        if answer.status_code == 404:
            assert path.startswith("admin/"), f"{path} is not reached by this test"
