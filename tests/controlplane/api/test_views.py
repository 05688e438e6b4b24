"""Behaviour that all addresses of the REST API share: problem documents, body limits, pages, sessions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.test import Client

from controlplane.audit.models import Event
from controlplane.tenants.models import Tenant
from tests.api import PROBLEM
from tests.factories import make_tenant

if TYPE_CHECKING:
    from tests.api import Api
    from tests.federation import Communities, Federation

pytestmark = pytest.mark.usefixtures("communities")


@pytest.fixture
def operator(federation: Federation) -> str:
    return federation.olga.token


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_an_unknown_address_is_answered_with_a_problem_document(api: Api, operator: str, method: str) -> None:
    answer = api.call(method, "nothing/here", token=operator)
    assert (answer.status, answer.headers["content-type"]) == (404, PROBLEM)
    assert answer.json["code"] == "not_found"


def test_a_problem_document_has_the_request_id_of_the_logs(api: Api, operator: str) -> None:
    answer = api.get("tenants/nowhere", token=operator)
    assert answer.json["request_id"] == answer.headers["x-request-id"]
    assert set(answer.json) == {"type", "title", "status", "detail", "code", "request_id"}


def test_a_wrong_method_is_answered_with_the_allowed_ones(api: Api, operator: str) -> None:
    answer = api.call("PUT", "tenants", {}, token=operator)
    assert (answer.status, answer.json["code"]) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


def test_a_nodes_token_does_not_open_the_api(api: Api, communities: Communities) -> None:
    answer = api.get("me", token=communities.climate.node_token)
    assert answer.status == 403
    assert "interLink wire" in answer.json["detail"]


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"{", "application/json", 400),
        (b"[1]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'{"slug": NaN}', "application/json", 400),
        (b'{"slug": "\\ud800", "name": "x"}', "application/json", 400),
        (b'{"slug": "x", "name": "\\u0000"}', "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"slug=x", "application/x-www-form-urlencoded", 415),
        (b"<slug/>", "application/xml", 415),
        (b"", "application/json", 400),
    ],
)
def test_a_malformed_body_is_refused_with_a_sentence(
    api: Api, operator: str, body: bytes, kind: str, status: int
) -> None:
    answer = api.post("tenants", body, token=operator, headers={"Content-Type": kind})
    assert (answer.status, answer.headers["content-type"]) == (status, PROBLEM)
    assert answer.json["detail"].endswith(".")


def test_a_body_over_the_limit_is_refused_unread(api: Api, operator: str, settings: Any) -> None:
    settings.API_MAX_BODY = 100
    answer = api.post("tenants", b'{"slug": "' + b"x" * 200 + b'"}', token=operator)
    assert (answer.status, answer.json["code"]) == (413, "too_large")


def test_invalid_values_are_reported_per_field(api: Api, operator: str) -> None:
    answer = api.post("tenants", {"slug": "not a slug", "colour": "red"}, token=operator)
    assert answer.status == 400
    assert [each["field"] for each in answer.json["errors"]] == ["colour"]
    answer = api.post("tenants", {"slug": "not a slug"}, token=operator)
    assert {each["field"] for each in answer.json["errors"]} == {"slug", "name"}
    assert all(each["detail"] for each in answer.json["errors"])


@pytest.mark.parametrize("query", ["colour=red", "limit=0", "limit=x", "limit=501", "search=a&search=b", "search=%00"])
def test_an_invalid_query_is_refused(api: Api, operator: str, query: str) -> None:
    answer = api.get(f"tenants?{query}", token=operator)
    assert answer.status == 400
    assert answer.json["errors"][0]["field"] == query.partition("=")[0]


@pytest.mark.parametrize("cursor", ["x", "%ff", "LTE", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OQ", "", "4pGg", "wrI"])
def test_an_invented_cursor_is_refused(api: Api, operator: str, cursor: str) -> None:
    assert api.get(f"tenants?cursor={cursor}", token=operator).status == 400


def test_pages_are_complete_while_rows_are_added_and_deleted(api: Api, operator: str) -> None:
    made = [make_tenant().slug for _ in range(7)][::-1]
    seen, path = [], "tenants?limit=3"
    for _ in range(2):
        answer = api.get(path, token=operator)
        seen += [item["slug"] for item in answer.json["items"]]
        path = answer.json["next"]
        make_tenant()  # comes before the first page: shifts nothing
    Tenant.objects.get(slug=seen[0]).delete()
    assert path.startswith("/api/v1/tenants?limit=3&cursor=")
    last = api.get(path, token=operator).json
    assert seen + [item["slug"] for item in last["items"]] == [*made, "physics", "climate"]
    assert last["next"] is None


def test_a_page_that_ends_with_the_last_row_has_no_next(api: Api, operator: str) -> None:
    assert api.get("tenants?limit=2", token=operator).json["next"] is None


def test_head_is_answered_as_get_without_a_body(api: Api, operator: str) -> None:
    assert api.call("HEAD", "tenants", token=operator).status == 200


def test_a_browser_may_read_and_needs_a_csrf_token_to_change(federation: Federation) -> None:
    browser = Client(enforce_csrf_checks=True)
    browser.force_login(federation.olga.person)
    assert browser.get("/api/v1/me").json()["name"] == "Olga"
    answer = browser.post("/api/v1/tenants", {"slug": "x", "name": "X"}, content_type="application/json")
    assert (answer.status_code, answer["Content-Type"]) == (403, PROBLEM)
    assert not Tenant.objects.filter(slug="x").exists()


def test_refusals_are_recorded_and_reads_are_not(api: Api, federation: Federation) -> None:
    token = federation.adam.token
    assert api.post("tenants", {"slug": "x", "name": "X"}, token=token).status == 403
    assert api.get("roles", token=token).status == 403
    event = Event.objects.get(verb="api.refused")
    assert (event.actor_id, event.object_id) == (federation.adam.person.pk, "POST api/v1/tenants")


def test_a_request_that_fails_halfway_leaves_nothing(api: Api, federation: Federation) -> None:
    """The node's row exists when the insert finds the slug taken; its route and the audit event do not."""
    before = Event.objects.count()
    body = {"slug": "physics-1", "tenant": "climate", "site": "vega"}
    answer = api.post("virtual-nodes", body, token=federation.alice.token)
    assert (answer.status, answer.json["code"]) == (409, "conflict")
    assert Event.objects.count() == before + 1  # the event of the token


def test_an_unknown_format_is_not_reported_as_a_missing_address(api: Api, federation: Federation) -> None:
    answer = api.get("sites?format=xyz", token=federation.olga.token)
    assert (answer.status, answer.headers["content-type"]) == (406, PROBLEM)
