"""Who calls the API with one of our tokens or with a browser session, and how soon access ends."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

import pytest
from django.middleware.csrf import get_token
from django.test import Client, RequestFactory
from django.utils import timezone

from controlplane import remembered
from controlplane.auth import memberships
from controlplane.auth.tokens import issue
from controlplane.tenants.models import ApiToken, Membership, Person, ServiceAccount, Tenant
from tests.database_roles import as_web_role, database_away
from tests.factories import make_node, make_person, make_service, make_tenant
from tests.wire import Answer, call

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
ALL = ["read", "submit", "cancel", "manage"]


@pytest.fixture(autouse=True)
def _door(settings: Any) -> None:
    settings.ROOT_URLCONF = "tests.caller_urls"


def member_of(*tenants: Tenant, role: Membership.Role = Membership.Role.MEMBER) -> Person:
    person = make_person()
    for tenant in tenants:
        memberships.give_membership(person, tenant, role)
    return person


def who(token: str, method: str = "GET") -> Answer:
    return call(method, "/api/v1/who", token=token)


def test_a_personal_token_acts_as_its_person_within_its_scopes() -> None:
    tenant = make_tenant()
    person = member_of(tenant)
    row, text = issue.mint_personal(person, scopes=["read"], lifetime=DAY)
    answer = who(text)
    assert answer.status == 200
    assert answer.json == {
        "person": person.pk, "name": person.name, "token": row.pk, "tenants": [tenant.pk], "scopes": ["read"],
    }  # fmt: skip
    refused = who(text, "POST")
    assert refused.status == 403
    assert "`submit`" in refused.text


def test_a_personal_token_may_be_confined_to_one_tenant() -> None:
    ours, other = make_tenant(), make_tenant()
    person = member_of(ours, other)
    text = issue.mint_personal(person, scopes=ALL, tenant=ours, lifetime=DAY)[1]
    assert who(text).json["tenants"] == [ours.pk]


def test_scopes_never_extend_the_persons_rights() -> None:
    text = issue.mint_personal(member_of(make_tenant()), scopes=ALL, lifetime=DAY)[1]
    assert who(text, "DELETE").status == 403


def test_a_service_token_has_its_accounts_role_in_its_tenant() -> None:
    service = make_service(role="member", name="Nightly runs")
    row, text = issue.mint_service(service, scopes=["read", "submit"], lifetime=DAY)
    assert who(text, "POST").json == {
        "person": None, "name": "Nightly runs", "token": row.pk, "tenants": [service.tenant_id],
        "scopes": ["read", "submit"],
    }  # fmt: skip
    assert who(text, "DELETE").status == 403


def test_a_deactivated_person_is_refused_at_once() -> None:
    person = member_of(make_tenant())
    text = issue.mint_personal(person, scopes=ALL, lifetime=DAY)[1]
    assert who(text).status == 200
    Person.objects.update(is_active=False)
    answer = who(text)
    assert answer.status == 401
    assert answer.headers["www-authenticate"] == 'Bearer error="invalid_token"'


def test_a_person_removed_from_a_tenant_loses_it_at_once() -> None:
    person = member_of(make_tenant())
    text = issue.mint_personal(person, scopes=ALL, lifetime=DAY)[1]
    assert who(text, "POST").status == 200
    memberships.take(person.memberships.get())
    assert who(text, "POST").status == 403


@pytest.mark.parametrize("what", ["account", "tenant"])
def test_a_disabled_service_account_or_tenant_is_refused_at_once(what: str) -> None:
    text = issue.mint_service(make_service(), scopes=ALL, lifetime=DAY)[1]
    assert who(text).status == 200
    model: Any = {"account": ServiceAccount, "tenant": Tenant}[what]
    model.objects.update(enabled=False)
    assert who(text).status == 401


def test_a_revoked_token_is_refused_once_its_memory_ends(settings: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings.TOKEN_MEMORY == 5
    row, text = issue.mint_personal(member_of(make_tenant()), scopes=ALL, lifetime=DAY)
    assert who(text).status == 200
    issue.revoke_token(row)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 5.01)
    assert who(text).status == 401


def test_a_nodes_token_opens_only_the_wire() -> None:
    _, text = make_node()
    answer = who(text)
    assert answer.status == 403
    assert "interLink wire" in answer.text


def test_peoples_and_programs_tokens_do_not_open_the_wire() -> None:
    for text in (
        issue.mint_personal(member_of(make_tenant()), scopes=ALL, lifetime=DAY)[1],
        issue.mint_service(make_service(), scopes=ALL, lifetime=DAY)[1],
    ):
        for path in ("/create", "/updateCache", "/status"):
            assert call("POST", path, b"[]", token=text).status == 403


def test_a_nodes_token_costs_the_wire_one_statement_once(django_assert_num_queries: Any) -> None:
    _, text = make_node()
    with django_assert_num_queries(1):
        assert call("POST", "/updateCache", token=text).status == 200
    with django_assert_num_queries(0):
        assert call("POST", "/updateCache", token=text).status == 200


def test_the_last_use_is_recorded_at_most_once_a_minute() -> None:
    row, text = issue.mint_personal(member_of(make_tenant()), scopes=ALL, lifetime=DAY)
    assert who(text).status == 200
    row.refresh_from_db()
    first = row.last_used_at
    assert first is not None
    remembered.forget_everything()  # as in another process
    who(text)
    row.refresh_from_db()
    assert row.last_used_at == first
    ApiToken.objects.update(last_used_at=timezone.now() - timedelta(seconds=61))
    remembered.forget_everything()
    who(text)
    row.refresh_from_db()
    assert timezone.now() - row.last_used_at < timedelta(seconds=60)


@pytest.mark.parametrize("header", ["Bearer", "Bearer  ", "Basic dXNlcjpwYXNz"])
def test_an_empty_bearer_is_a_401(header: str) -> None:
    answer = call("GET", "/api/v1/who", headers={"Authorization": header})
    assert (answer.status, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_a_logged_in_browser_has_all_rights_of_its_person() -> None:
    tenant = make_tenant()
    person = member_of(tenant)
    client = Client()
    client.force_login(person)
    answer = client.get("/api/v1/who")
    assert answer.json()["person"] == person.pk
    assert (answer.json()["tenants"], answer.json()["scopes"]) == ([tenant.pk], None)


def test_a_browser_changes_nothing_without_the_csrf_token() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(member_of(make_tenant()))
    assert client.post("/api/v1/who", {}, "application/json").status_code == 403
    request = RequestFactory().get("/")
    token = get_token(request)
    client.cookies["csrftoken"] = request.META["CSRF_COOKIE"]
    assert client.post("/api/v1/who", {}, "application/json", headers={"X-CSRFToken": token}).status_code == 200


def test_a_bearer_token_needs_no_csrf_token() -> None:
    text = issue.mint_personal(member_of(make_tenant()), scopes=ALL, lifetime=DAY)[1]
    client = Client(enforce_csrf_checks=True)
    assert client.post("/api/v1/who", headers={"Authorization": f"Bearer {text}"}).status_code == 200


def test_a_deactivated_persons_browser_is_refused_at_once() -> None:
    client = Client()
    client.force_login(member_of(make_tenant()))
    Person.objects.update(is_active=False)
    assert client.get("/api/v1/who").status_code == 401


def test_a_session_does_not_open_the_wire() -> None:
    client = Client()
    client.force_login(member_of(make_tenant()))
    assert client.post("/updateCache").status_code == 401


@pytest.mark.django_db(transaction=True)
def test_tokens_work_behind_row_security() -> None:
    tenant = make_tenant()
    row, personal = issue.mint_personal(member_of(tenant), scopes=ALL, lifetime=DAY)
    service = issue.mint_service(make_service(tenant=tenant), scopes=ALL, lifetime=DAY)[1]
    with as_web_role():
        assert who(personal).json["tenants"] == [tenant.pk]
        assert who(service).json["tenants"] == [tenant.pk]
    row.refresh_from_db()
    assert row.last_used_at is not None


@pytest.mark.django_db(transaction=True)
def test_with_the_database_away_a_good_token_is_a_503_and_a_mistyped_one_a_401() -> None:
    text = issue.mint_personal(member_of(make_tenant()), scopes=ALL, lifetime=DAY)[1]
    with database_away():
        away = who(text)
        assert (away.status, away.headers["retry-after"]) == (503, "30")
        assert who(text[:-1]).status == 401
    assert who(text).status == 200
