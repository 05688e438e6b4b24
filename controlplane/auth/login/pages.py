"""Our own pages, plain HTML without scripts: login, account, and why a login failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from django.contrib.auth.decorators import login_required
from django.http import HttpResponseRedirect
from django.shortcuts import render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from controlplane.auth.login.addresses import content_policy
from controlplane.auth.oidc import issuers
from controlplane.tenants.models import Person
from controlplane.tenants.queries import memberships_and_roles

if TYPE_CHECKING:
    from django.http import HttpRequest, HttpResponse

LOGIN = "/login/"
AFTER_LOGIN = "/account/"


@require_GET
@never_cache
def login(request: HttpRequest) -> HttpResponse:
    """Shows a button for each issuer. Passes `?next=` on if it is an address of this service."""
    after = request.GET.get("next", "")
    if not url_has_allowed_host_and_scheme(
        after, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    ):
        after = ""
    if request.user.is_authenticated:
        return HttpResponseRedirect(after or AFTER_LOGIN)
    query = "?" + urlencode({"next": after}) if after else ""
    local = "?" + urlencode({"next": after or AFTER_LOGIN})
    return own_page(request, "login.html", {"issuers": issuers.configured(), "query": query, "local": local})


@login_required
@require_GET
@never_cache
def account(request: HttpRequest) -> HttpResponse:
    """Shows the person's identity, memberships and roles, and where these come from."""
    person = request.user
    assert isinstance(person, Person)  # noqa: S101  (login_required checks it; mypy does not know)
    memberships, grants = memberships_and_roles(person)
    now = timezone.now()
    context = {
        "person": person,
        "issuer": issuers.by_issuer(person.issuer),
        "memberships": [{"held": each, "counts": each.counts(now=now)} for each in memberships],
        "grants": [{"held": each, "counts": each.counts(now=now)} for each in grants],
    }
    return own_page(request, "account.html", context)


def own_page(request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200) -> HttpResponse:
    """Renders one of our templates, with a Content-Security-Policy that allows only our own content."""
    response = render(request, f"isthmus/{template}", context, status=status)
    response["Content-Security-Policy"] = content_policy()
    return response
