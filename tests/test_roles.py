"""docs/roles.md holds: every address of the API with every role, as PostgreSQL's web role sees the rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from django.conf import settings
from django.db import transaction
from django.urls import get_resolver
from django.urls.resolvers import URLPattern, URLResolver

from controlplane import api_urls
from controlplane.api.views import ApiView, Unknown
from controlplane.auth import roles
from controlplane.auth.roles import RULES, Action, Role
from tests.federation import new_token, token_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from controlplane.tenants.models import ApiToken
    from tests.api import Api
    from tests.federation import Community, Federation

#: Whoever is known may do it.
ANYBODY = None


@dataclass(frozen=True)
class Entry:
    """What an address is for, and a body that it takes.

    programs: whether service accounts have use of it at all. own: whether a member may touch nothing but their own.
    served: what becomes of those who may.
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
    "POST tenants": Entry(Action.TENANTS_CHANGE, {"slug": "physics", "name": "Physics"}),
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
    """Each address of the API, with its view."""
    for pattern in patterns:
        path = before + str(pattern.pattern)
        if isinstance(pattern, URLResolver):
            yield from walk(pattern.url_patterns, path)
        elif isinstance(pattern, URLPattern):
            view = getattr(pattern.callback, "view_class", None)
            if view is not None and issubclass(view, ApiView) and view is not Unknown:
                yield path, view


#: Holes of addresses that are filled with something of a tenant's.
TENANTS_OWN = ("<slug:tenant>", "<slug:node>", "<slug:site>", "<int:allocation>", "<int:number>", "<slug:key>")
VIEWS = dict(walk(api_urls.urlpatterns))
METHODS = ("get", "post", "put", "patch", "delete")
ALL = sorted(f"{method.upper()} {path}" for path, view in VIEWS.items() for method in METHODS if hasattr(view, method))


@dataclass(frozen=True)
class Someone:
    """A caller: their token and roles; community: where those are, None for the federation's and a site's."""

    name: str
    token: str
    roles: frozenset[Role]
    community: Community | None = None
    spare: ApiToken | None = None
    is_program: bool = False


@pytest.fixture
def people(federation: Federation) -> dict[str, Someone]:
    x, y = federation.chemistry, federation.biology
    everybody = {
        "federation operator": (federation.operator, {Role.FEDERATION_OPERATOR}, None),
        "federation auditor": (federation.auditor, {Role.FEDERATION_AUDITOR}, None),
        "site operator": (federation.site_operator, {Role.SITE_OPERATOR}, None),
        "manager of chemistry": (x.manager, {Role.TENANT_MANAGER}, x),
        "member of chemistry": (x.member, {Role.TENANT_MEMBER}, x),
        "manager of biology": (y.manager, {Role.TENANT_MANAGER}, y),
        "member of biology": (y.member, {Role.TENANT_MEMBER}, y),
        "guest": (federation.guest, set(), None),
    }
    found = {
        name: Someone(person.name, token_of(person), frozenset(held), community, new_token(person)[0])
        for name, (person, held, community) in everybody.items()
    }
    for name, service, role in (
        ("service account", x.service, Role.TENANT_MEMBER),
        ("managing service account", x.managing_service, Role.TENANT_MANAGER),
    ):
        found[name] = Someone(
            service.slug, token_of(service), frozenset({role}), x, new_token(service)[0], is_program=True
        )
    found["virtual node"] = Someone(x.node.slug, x.node_token, frozenset({Role.VIRTUAL_NODE}), x, is_program=True)
    return found


def test_every_address_is_in_the_table_above_and_nothing_else() -> None:
    assert sorted(ENTRIES) == ALL


def test_the_page_of_roles_is_the_one_the_table_draws() -> None:
    page = settings.BASE_DIR / "docs" / "roles.md"
    assert page.read_text(encoding="utf-8") == roles.as_markdown(), "Run `manage.py draw_roles`."


@pytest.mark.parametrize("address", ALL)
def test_each_role_is_let_in_or_refused_as_the_table_says(
    address: str, api: Api, federation: Federation, people: dict[str, Someone]
) -> None:
    entry, chemistry = ENTRIES[address], federation.chemistry
    answers = {name: ask(api, address, chemistry, federation, someone) for name, someone in people.items()}
    expected = {name: is_let_in(entry, someone, chemistry) for name, someone in people.items()}
    assert {name: kind(status) for name, status in answers.items()} == expected, answers


def test_an_auditor_may_read_everything_and_change_nothing() -> None:
    for address, entry in ENTRIES.items():
        roles = RULES[entry.action].roles if entry.action is not None else {Role.FEDERATION_AUDITOR}
        is_to_look = address.startswith("GET ") or entry.action is Action.CLAIMS_TRY
        assert (Role.FEDERATION_AUDITOR in roles) is (is_to_look or entry.action is Action.TOKENS_OWN), address


@pytest.mark.parametrize("address", [each for each in ALL if each.startswith("GET ") and f" {OWN}" not in each])
def test_an_auditor_reads_what_is_of_any_tenant(address: str, api: Api, federation: Federation) -> None:
    auditor = Someone("auditor", token_of(federation.auditor), frozenset({Role.FEDERATION_AUDITOR}))
    for community in (federation.chemistry, federation.biology):
        assert ask(api, address, community, federation, auditor) == 200


@pytest.mark.parametrize("address", ALL)
def test_nobody_is_answered_without_a_token(address: str, api: Api, federation: Federation) -> None:
    method, path = address.split(" ", 1)
    answer = api.call(method, filled(path, federation.chemistry, federation, None), {} if method != "GET" else None)
    assert answer.status == 401


@pytest.mark.parametrize("address", [each for each in ALL if "<" in each])
def test_what_is_another_tenants_does_not_exist(
    address: str, api: Api, federation: Federation, people: dict[str, Someone]
) -> None:
    """Asked by those of chemistry whose role would allow it, for a thing of biology's. The site operator's is Vega."""
    entry = ENTRIES[address]
    for name, someone in people.items():
        everywhere = someone.roles & {Role.FEDERATION_OPERATOR, Role.FEDERATION_AUDITOR} and f" {OWN}/" not in address
        if someone.community is federation.biology or everywhere or not may(entry, someone):
            continue
        assert ask(api, address, federation.biology, federation, someone, is_own=False) == 404, name


def ask(api: Api, address: str, of: Community, federation: Federation, someone: Someone, *, is_own: bool = True) -> int:
    """The status; whatever it did is undone."""
    method, path = address.split(" ", 1)
    body = with_names(ENTRIES[address].body, of, federation)
    if body is None and method in {"POST", "PATCH", "PUT"}:
        body = {}
    with transaction.atomic():
        answer = api.call(method, filled(path, of, federation, someone if is_own else None), body, token=someone.token)
        transaction.set_rollback(True)
    return answer.status


def kind(status: int) -> str:
    """Let in is who is served, or told of a conflict; a body that is no good would hide who may send a good one."""
    known = {400: "misunderstood", 401: "unknown", 403: "refused", 404: "not there", 422: "misunderstood"}
    return known.get(status, "let in" if status < 500 else "broken")


def may(entry: Entry, someone: Someone) -> bool:
    """Whether a role of theirs allows it, wherever that reaches."""
    if Role.VIRTUAL_NODE in someone.roles or (someone.is_program and not entry.programs):
        return False
    return entry.action is None or bool(RULES[entry.action].roles & someone.roles)


def is_let_in(entry: Entry, someone: Someone, of: Community) -> str:
    """What `kind` says of an allowed caller's request for a thing of this community's, or for a list."""
    if not may(entry, someone):
        return "refused"
    address = next(each for each, known in ENTRIES.items() if known is entry)
    is_elsewhere = someone.community is not None and someone.community is not of
    if is_elsewhere and any(hole in address for hole in TENANTS_OWN):
        return "not there"
    if is_elsewhere and "{tenant}" in str(entry.body):
        return "misunderstood"  # told as of a tenant that is none
    is_a_strangers = someone.roles == {Role.TENANT_MEMBER} and someone.name != of.member.name
    return "refused" if entry.own and is_a_strangers else entry.served


def filled(path: str, of: Community, federation: Federation, someone: Someone | None) -> str:
    """The address of something of this community's; of someone's own where it is a personal token."""
    token = of.node.tokens.first()
    if path.startswith(OWN + "/"):
        token = someone.spare if someone and someone.spare else new_token(federation.guest)[0]
    elif path.startswith(ACCOUNT):
        token = new_token(of.service)[0]
    assert token is not None
    holes = {
        "<slug:tenant>": of.slug,
        "<slug:account>": of.service.slug,
        "<slug:node>": of.node.slug,
        "<int:token>": token.pk,
        "<int:membership>": of.membership.pk,
        "<int:role>": federation.auditor.role_grants.get().pk,
        "<slug:site>": of.site.slug,
        "<int:allocation>": of.allocation.pk,
        "<int:number>": of.request.pk,
        "<slug:key>": of.job.key,
    }
    for hole, value in holes.items():
        path = path.replace(hole, str(value))
    assert "<" not in path, f"fill the holes of {path}"
    return path


def with_names(body: Any, of: Community, federation: Federation) -> Any:
    """The body, with names of this community's."""
    if not isinstance(body, dict):
        return body
    names = {"tenant": of.slug, "site": of.site.slug, "subject": federation.guest.subject}
    return {name: value.format(**names) if isinstance(value, str) else value for name, value in body.items()}


def test_a_method_without_an_action_is_closed_to_everybody(
    api: Api, federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = VIEWS["tenants"]
    monkeypatch.setattr(view, "actions", {})
    answer = api.get("tenants", token=token_of(federation.operator))
    assert answer.status == 403
    assert answer.json["code"] == "forbidden"


def test_the_walk_sees_what_is_served() -> None:
    served = [each for each in get_resolver().url_patterns if str(each.pattern) == "api/v1/"]
    assert [each.urlconf_name for each in served if isinstance(each, URLResolver)] == [api_urls]
