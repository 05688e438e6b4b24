"""Every address of the REST API: its purpose, a body that it accepts, and how to fill in its path for a caller."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from django.urls.resolvers import URLPattern, URLResolver

from controlplane import api_urls
from controlplane.api.views import ApiView, Unknown
from controlplane.auth.roles import Action, Role
from tests.federation import new_token

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.tenants.models import ApiToken
    from tests.federation import Community, Federation

#: Every authenticated caller may do this.
ANYBODY = None


@dataclass(frozen=True)
class Entry:
    """What an address is for, and a body that it accepts.

    programs: whether service accounts can use it at all. own: whether a member may only touch their own things. served:
    the outcome for callers who are allowed.
    """

    action: Action | None
    body: Any = None
    programs: bool = True
    own: bool = False
    served: str = "let in"


PERSON = {"issuer": "https://issuer.example.org", "subject": "{subject}"}
SCOPES = {"scopes": ["read"]}
POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "hello"},
    "spec": {"containers": [{"name": "main", "image": "busybox", "command": ["true"]}], "restartPolicy": "Never"},
}
ASKED = {"kind": "allocation", "tenant": "{tenant}", "site": "{site}", "payload": {"cpus": 4}}
OWN, ACCOUNT, NODE = "tokens", "tenants/<slug:tenant>/service-accounts/<slug:account>", "virtual-nodes/<slug:node>"
ENTRIES: dict[str, Entry] = {
    "GET me": Entry(ANYBODY),
    f"GET {OWN}": Entry(Action.TOKENS_OWN, programs=False),
    f"POST {OWN}": Entry(Action.TOKENS_OWN, SCOPES, programs=False),
    f"GET {OWN}/<int:token>": Entry(Action.TOKENS_OWN, programs=False),
    f"DELETE {OWN}/<int:token>": Entry(Action.TOKENS_OWN, programs=False),
    f"POST {OWN}/<int:token>/rotate": Entry(Action.TOKENS_OWN, programs=False),
    "GET tenants": Entry(Action.TENANTS_READ),
    "POST tenants": Entry(Action.TENANTS_CHANGE, {"slug": "geology", "name": "Geology"}),
    "GET tenants/<slug:tenant>": Entry(Action.TENANTS_READ),
    "PATCH tenants/<slug:tenant>": Entry(Action.TENANTS_CHANGE, {"name": "Renamed"}),
    "GET tenants/<slug:tenant>/members": Entry(Action.MEMBERS_READ),
    "POST tenants/<slug:tenant>/members": Entry(Action.MEMBERS_CHANGE, PERSON),
    "DELETE tenants/<slug:tenant>/members/<int:membership>": Entry(Action.MEMBERS_CHANGE),
    "GET tenants/<slug:tenant>/service-accounts": Entry(Action.SERVICES_READ),
    "POST tenants/<slug:tenant>/service-accounts": Entry(Action.SERVICES_CHANGE, {"slug": "nightly"}),
    f"GET {ACCOUNT}": Entry(Action.SERVICES_READ),
    f"PATCH {ACCOUNT}": Entry(Action.SERVICES_CHANGE, {"name": "Renamed"}),
    f"GET {ACCOUNT}/tokens": Entry(Action.SERVICES_READ),
    f"POST {ACCOUNT}/tokens": Entry(Action.SERVICES_CHANGE, SCOPES),
    f"GET {ACCOUNT}/tokens/<int:token>": Entry(Action.SERVICES_READ),
    f"DELETE {ACCOUNT}/tokens/<int:token>": Entry(Action.SERVICES_CHANGE),
    f"POST {ACCOUNT}/tokens/<int:token>/rotate": Entry(Action.SERVICES_CHANGE),
    "GET virtual-nodes": Entry(Action.NODES_READ),
    "POST virtual-nodes": Entry(Action.NODES_CHANGE, {"slug": "new", "tenant": "{tenant}", "site": "{site}"}),
    f"GET {NODE}": Entry(Action.NODES_READ),
    f"PATCH {NODE}": Entry(Action.NODES_CHANGE, {"name": "Renamed", "site": "{site}"}),
    f"GET {NODE}/tokens": Entry(Action.NODES_READ),
    f"POST {NODE}/tokens": Entry(Action.NODES_CHANGE, {"kind": "client"}),
    f"GET {NODE}/tokens/<int:token>": Entry(Action.NODES_READ),
    f"DELETE {NODE}/tokens/<int:token>": Entry(Action.NODES_CHANGE),
    f"POST {NODE}/tokens/<int:token>/rotate": Entry(Action.NODES_CHANGE),
    "GET roles": Entry(Action.ROLES_READ),
    "POST roles": Entry(Action.ROLES_CHANGE, {**PERSON, "role": "federation_auditor"}),
    "DELETE roles/<int:role>": Entry(Action.ROLES_CHANGE),
    # No issuer is configured in this test.
    "POST claims/try": Entry(Action.CLAIMS_TRY, {"issuer": "nobody", "claims": {}}, served="misunderstood"),
    "GET audit": Entry(Action.AUDIT_READ),
    "GET sites": Entry(Action.SITES_READ),
    "GET sites/<slug:site>": Entry(Action.SITES_READ),
    "GET allocations": Entry(Action.ALLOCATIONS_READ),
    "POST allocations": Entry(Action.ALLOCATIONS_CHANGE, {"tenant": "{tenant}", "site": "{site}"}),
    "GET allocations/<int:allocation>": Entry(Action.ALLOCATIONS_READ),
    "PATCH allocations/<int:allocation>": Entry(Action.ALLOCATIONS_CHANGE, {"cpus": 4}),
    "POST allocations/<int:allocation>/revoke": Entry(Action.ALLOCATIONS_CHANGE),
    "GET requests": Entry(Action.REQUESTS_READ),
    "POST requests": Entry(Action.REQUESTS_ASK, ASKED),
    "GET requests/<int:number>": Entry(Action.REQUESTS_READ),
    "POST requests/<int:number>/decide": Entry(Action.REQUESTS_DECIDE, {"grant": False, "reason": "Full."}),
    "POST requests/<int:number>/withdraw": Entry(Action.REQUESTS_ASK),
    "GET jobs": Entry(Action.JOBS_READ),
    "POST jobs": Entry(Action.JOBS_SUBMIT, POD),
    "POST jobs/explain": Entry(Action.JOBS_SUBMIT, POD),
    "GET jobs/<slug:key>": Entry(Action.JOBS_READ),
    "POST jobs/<slug:key>/cancel": Entry(Action.JOBS_CANCEL, own=True),
    "GET jobs/<slug:key>/log": Entry(Action.JOBS_READ),
    "GET usage": Entry(Action.USAGE_READ),
}


def walk(patterns: list[Any], before: str = "") -> Iterator[tuple[str, type[ApiView]]]:
    """Yield each address of the API with its view."""
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "view_class", None)
            if view is not None and issubclass(view, ApiView) and view is not Unknown:
                yield path, view


#: Path parameters that name something of a tenant's.
TENANTS_OWN = ("<slug:tenant>", "<slug:node>", "<slug:site>", "<int:allocation>", "<int:number>", "<slug:key>")
VIEWS = dict(walk(api_urls.urlpatterns))
METHODS = ("get", "post", "put", "patch", "delete")
ALL = sorted(f"{method.upper()} {path}" for path, view in VIEWS.items() for method in METHODS if hasattr(view, method))


@dataclass(frozen=True)
class Someone:
    """A caller: token and roles. community: where the roles apply; None for roles of the federation or of a site."""

    name: str
    token: str
    roles: frozenset[Role]
    community: Community | None = None
    spare: ApiToken | None = None
    is_program: bool = False


def filled(path: str, of: Community, federation: Federation, someone: Someone | None) -> str:
    """Return the address filled in with something of this community's, or of the caller's own for personal tokens."""
    token = of.node.tokens.first()
    if path.startswith(OWN + "/"):
        token = someone.spare if someone and someone.spare else new_token(federation.nora.person)[0]
    elif path.startswith(ACCOUNT):
        token = new_token(of.service)[0]
    assert token is not None
    holes = {
        "<slug:tenant>": of.slug,
        "<slug:account>": of.service.slug,
        "<slug:node>": of.node.slug,
        "<int:token>": token.pk,
        "<int:membership>": of.membership.pk,
        "<int:role>": federation.ada.person.role_grants.get().pk,
        "<slug:site>": of.site.slug,
        "<int:allocation>": of.allocation.pk,
        "<int:number>": of.request.pk,
        "<slug:key>": of.job.key,
    }
    for hole, value in holes.items():
        path = path.replace(hole, str(value))
    assert "<" not in path, f"fill in the parameters of {path}"
    return path


def with_names(body: Any, of: Community, federation: Federation) -> Any:
    """Return the body with names of this community's."""
    if not isinstance(body, dict):
        return body
    names = {"tenant": of.slug, "site": of.site.slug, "subject": federation.nora.person.subject}
    return {name: value.format(**names) if isinstance(value, str) else value for name, value in body.items()}
