"""docs/roles.md is true: every address of the API with every role, with rows as PostgreSQL's web role sees them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from django.conf import settings
from django.db import transaction
from django.urls import get_resolver
from django.urls.resolvers import URLResolver

from controlplane import api_urls
from controlplane.auth import roles
from controlplane.auth.roles import RULES, Action, Role
from tests.addresses import ALL, ENTRIES, OWN, TENANTS_OWN, VIEWS, Entry, Someone, filled, with_names
from tests.federation import new_token, token_of

if TYPE_CHECKING:
    from tests.api import Api
    from tests.federation import Communities, Community, Federation


@pytest.fixture
def people(federation: Federation, communities: Communities) -> dict[str, Someone]:
    x, y = communities.climate, communities.physics
    everybody = {
        "federation operator": (federation.olga.person, {Role.FEDERATION_OPERATOR}, None),
        "federation auditor": (federation.ada.person, {Role.FEDERATION_AUDITOR}, None),
        "site operator": (federation.vera.person, {Role.SITE_OPERATOR}, None),
        "manager of climate": (x.manager, {Role.TENANT_MANAGER}, x),
        "member of climate": (x.member, {Role.TENANT_MEMBER}, x),
        "manager of physics": (y.manager, {Role.TENANT_MANAGER}, y),
        "member of physics": (y.member, {Role.TENANT_MEMBER}, y),
        "guest": (federation.nora.person, set(), None),
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


def test_the_table_has_exactly_the_addresses_of_the_api() -> None:
    assert sorted(ENTRIES) == ALL


def test_the_page_of_roles_matches_the_table() -> None:
    page = settings.BASE_DIR / "docs" / "roles.md"
    assert page.read_text(encoding="utf-8") == roles.as_markdown(), "Run `manage.py draw_roles`."


@pytest.mark.parametrize("address", ALL)
def test_each_role_is_allowed_or_refused_as_the_table_says(
    address: str, api: Api, federation: Federation, communities: Communities, people: dict[str, Someone]
) -> None:
    entry, climate = ENTRIES[address], communities.climate
    answers = {name: ask(api, address, climate, federation, someone) for name, someone in people.items()}
    expected = {name: is_let_in(entry, someone, climate) for name, someone in people.items()}
    assert {name: kind(status) for name, status in answers.items()} == expected, answers


def test_an_auditor_may_read_everything_and_change_nothing() -> None:
    for address, entry in ENTRIES.items():
        roles = RULES[entry.action].roles if entry.action is not None else {Role.FEDERATION_AUDITOR}
        is_to_look = address.startswith("GET ") or entry.action is Action.CLAIMS_TRY
        assert (Role.FEDERATION_AUDITOR in roles) is (is_to_look or entry.action is Action.TOKENS_OWN), address


@pytest.mark.parametrize("address", [each for each in ALL if each.startswith("GET ") and f" {OWN}" not in each])
def test_an_auditor_reads_every_tenants_things(
    address: str, api: Api, federation: Federation, communities: Communities
) -> None:
    auditor = Someone("auditor", federation.ada.token, frozenset({Role.FEDERATION_AUDITOR}))
    for community in (communities.climate, communities.physics):
        assert ask(api, address, community, federation, auditor) == 200


@pytest.mark.parametrize("address", ALL)
def test_no_address_answers_without_a_token(
    address: str, api: Api, federation: Federation, communities: Communities
) -> None:
    method, path = address.split(" ", 1)
    answer = api.call(method, filled(path, communities.climate, federation, None), {} if method != "GET" else None)
    assert answer.status == 401


@pytest.mark.parametrize("address", [each for each in ALL if "<" in each])
def test_another_tenants_things_do_not_exist(
    address: str, api: Api, federation: Federation, communities: Communities, people: dict[str, Someone]
) -> None:
    """Callers of climate whose role would allow it ask for a thing of physics; the site operator asks for Juno's."""
    entry = ENTRIES[address]
    for name, someone in people.items():
        everywhere = someone.roles & {Role.FEDERATION_OPERATOR, Role.FEDERATION_AUDITOR} and f" {OWN}/" not in address
        if someone.community is communities.physics or everywhere or not may(entry, someone):
            continue
        assert ask(api, address, communities.physics, federation, someone, is_own=False) == 404, name


def ask(api: Api, address: str, of: Community, federation: Federation, someone: Someone, *, is_own: bool = True) -> int:
    """Send the request and return its status; its effects are rolled back."""
    method, path = address.split(" ", 1)
    body = with_names(ENTRIES[address].body, of, federation)
    if body is None and method in {"POST", "PATCH", "PUT"}:
        body = {}
    with transaction.atomic():
        answer = api.call(method, filled(path, of, federation, someone if is_own else None), body, token=someone.token)
        transaction.set_rollback(True)
    return answer.status


def kind(status: int) -> str:
    """Return the kind of a status.

    Success and conflict both mean allowed; an invalid body would hide who may send a valid one.
    """
    known = {400: "misunderstood", 401: "unknown", 403: "refused", 404: "not there", 422: "misunderstood"}
    return known.get(status, "let in" if status < 500 else "broken")


def may(entry: Entry, someone: Someone) -> bool:
    """Return whether one of the caller's roles allows the action, wherever the role applies."""
    if Role.VIRTUAL_NODE in someone.roles or (someone.is_program and not entry.programs):
        return False
    return entry.action is None or bool(RULES[entry.action].roles & someone.roles)


def is_let_in(entry: Entry, someone: Someone, of: Community) -> str:
    """Return what `kind` must say of an allowed caller's request for a thing of this community, or for a list."""
    if not may(entry, someone):
        return "refused"
    address = next(each for each, known in ENTRIES.items() if known is entry)
    is_elsewhere = someone.community is not None and someone.community is not of
    if is_elsewhere and any(hole in address for hole in TENANTS_OWN):
        return "not there"
    if is_elsewhere and "{tenant}" in str(entry.body):
        return "misunderstood"  # answered like an unknown tenant
    is_a_strangers = someone.roles == {Role.TENANT_MEMBER} and someone.name != of.member.name
    return "refused" if entry.own and is_a_strangers else entry.served


def test_a_method_without_an_action_is_closed_to_everybody(
    api: Api, federation: Federation, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = VIEWS["tenants"]
    monkeypatch.setattr(view, "actions", {})
    answer = api.get("tenants", token=federation.olga.token)
    assert answer.status == 403
    assert answer.json["code"] == "forbidden"


def test_the_walk_finds_the_served_addresses() -> None:
    served = [each for each in get_resolver().url_patterns if str(each.pattern) == "api/v1/"]
    assert [each.urlconf_name for each in served if isinstance(each, URLResolver)] == [api_urls]
