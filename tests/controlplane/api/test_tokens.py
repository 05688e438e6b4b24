"""Tokens in the API: shown once, never broader than the token that creates them, rotated and revoked."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from controlplane import remembered
from controlplane.audit.models import Event
from controlplane.tenants.models import ApiToken
from tests.federation import new_token, token_of
from tests.wire import call

if TYPE_CHECKING:
    from tests.api import Api
    from tests.federation import Communities, Federation

pytestmark = pytest.mark.usefixtures("communities")


def test_a_new_token_is_shown_once_and_works(api: Api, federation: Federation) -> None:
    token = federation.adam.token
    answer = api.post("tokens", {"label": "laptop", "scopes": ["read"], "days": 30}, token=token)
    assert answer.status == 201
    assert answer.headers["cache-control"] == "no-store"
    assert api.get("tenants", token=answer.json["token"]).status == 200
    listed = api.get("tokens", token=token)
    assert listed.json["items"][0] == {name: value for name, value in answer.json.items() if name != "token"} | {
        "last_used_at": listed.json["items"][0]["last_used_at"]
    }
    assert answer.json["token"] not in listed.text
    assert answer.json["token"] not in str(list(Event.objects.values()))


def test_a_token_creates_no_broader_token(api: Api, federation: Federation) -> None:
    person = federation.alice.person
    narrow = token_of(person, scopes=["manage", "read"])
    wide = new_token(person)[0]
    assert api.post("tokens", {"scopes": ["read", "submit"]}, token=narrow).status == 403
    assert api.post(f"tokens/{wide.pk}/rotate", token=narrow).status == 403
    accounts = "tenants/climate/service-accounts/pipeline/tokens"
    assert api.post(accounts, {"scopes": ["submit"]}, token=narrow).status == 403
    assert api.post("tokens", {"scopes": ["read"]}, token=narrow).status == 201


def test_a_token_confined_to_one_tenant_creates_none_for_all_tenants(api: Api, federation: Federation) -> None:
    person, tenant = federation.alice.person, federation.climate
    person.memberships.create(tenant=federation.physics, role="manager", origin="manual")
    confined, wide = token_of(person, tenant=tenant), new_token(person)[0]
    assert api.post("tokens", {"scopes": ["read"]}, token=confined).status == 403
    assert api.post("tokens", {"scopes": ["read"], "tenant": "physics"}, token=confined).status == 400
    assert api.post(f"tokens/{wide.pk}/rotate", token=confined).status == 404
    assert api.get("tenants/physics/members", token=confined).status == 404
    answer = api.post("tokens", {"scopes": ["read"], "tenant": "climate"}, token=confined)
    assert (answer.status, answer.json["tenant"]) == (201, "climate")


def test_a_confined_token_neither_sees_nor_revokes_tokens_outside_its_tenant(api: Api, federation: Federation) -> None:
    person, tenant = federation.alice.person, federation.climate
    own, confined = new_token(person, tenant=tenant)
    wide = new_token(person)[0]
    listed = api.get("tokens", token=confined).json["items"]
    assert [each["id"] for each in listed] == [own.pk]
    assert [api.call(verb, f"tokens/{wide.pk}", token=confined).status for verb in ("GET", "DELETE")] == [404, 404]
    assert api.delete(f"tokens/{own.pk}", token=confined).status == 204


def test_a_caller_without_the_submit_scope_creates_no_kubelet_token(api: Api, communities: Communities) -> None:
    """A kubelet's token opens the wire, on which pods are submitted."""
    narrow = token_of(communities.climate.managing_service, scopes=["manage", "read"])
    row = ApiToken.objects.filter(node=communities.climate.node).get()
    for path in ("", f"/{row.pk}/rotate"):
        answer = api.post(f"virtual-nodes/climate-1/tokens{path}", {} if not path else None, token=narrow)
        assert (answer.status, "`submit`" in answer.json["detail"]) == (403, True)


def test_a_personal_token_creates_none_that_outlives_it(api: Api, federation: Federation) -> None:
    """Otherwise a leaked token that expires soon could be exchanged for one that does not."""
    row, token = new_token(federation.olga.person)
    made = [api.post("tokens", {"scopes": ["read"], "days": days}, token=token) for days in (31, 29)]
    ends = [ApiToken.objects.get(pk=answer.json["id"]).expires_at for answer in made]
    assert abs(row.expires_at - ends[0]) < timedelta(seconds=5)
    assert ends[1] < ends[0]


def test_a_token_can_only_be_confined_to_a_tenant_of_its_person(api: Api, federation: Federation) -> None:
    answer = api.post("tokens", {"scopes": ["read"], "tenant": "physics"}, token=federation.adam.token)
    assert answer.status == 400
    assert answer.json["errors"][0]["field"] == "tenant"


def test_listing_tokens_needs_the_scope(api: Api, federation: Federation) -> None:
    answer = api.get("tokens", token=token_of(federation.olga.person, scopes=["read"]))
    assert answer.status == 403
    assert "`manage`" in answer.json["detail"]


@pytest.mark.parametrize("body", [{}, {"scopes": []}, {"scopes": ["root"]}, {"scopes": ["read"], "days": 0}])
def test_a_token_needs_scopes_and_an_expiry_time(api: Api, federation: Federation, body: dict[str, object]) -> None:
    assert api.post("tokens", body, token=federation.nora.token).status in {400, 403}
    assert api.post("tokens", body, token=federation.olga.token).status == 400


def test_a_token_lifetime_over_the_services_limit_is_refused(api: Api, federation: Federation) -> None:
    answer = api.post("tokens", {"scopes": ["read"], "days": 3650}, token=federation.olga.token)
    assert answer.status == 400


def test_a_rotated_token_works_for_a_while_beside_its_successor(api: Api, federation: Federation) -> None:
    row, text = new_token(federation.olga.person)
    answer = api.post(f"tokens/{row.pk}/rotate", token=text)
    assert answer.status == 201
    assert answer.json["scopes"] == row.scopes
    assert [api.get("me", token=each).status for each in (text, answer.json["token"])] == [200, 200]


def test_a_revoked_token_is_refused(api: Api, federation: Federation) -> None:
    token = federation.olga.token
    row, text = new_token(federation.olga.person)
    assert [api.delete(f"tokens/{row.pk}", token=token).status for _ in range(2)] == [204, 204]
    remembered.forget_everything()
    assert api.get("me", token=text).status == 401
    assert Event.objects.filter(verb="token.revoke", object_id=row.pk).count() == 1


def test_a_kubelet_s_new_token_opens_the_wire(api: Api, federation: Federation) -> None:
    manager = federation.alice.token
    answer = api.post("virtual-nodes/climate-1/tokens", {"label": "kubelet"}, token=manager)
    assert answer.status == 201
    assert call("POST", "/updateCache", token=answer.json["token"]).status == 200
    assert api.get("me", token=answer.json["token"]).status == 403


def test_a_service_account_s_token_has_its_role_in_its_tenant(api: Api, federation: Federation) -> None:
    manager = federation.alice.token
    answer = api.post("tenants/climate/service-accounts/pipeline/tokens", {"scopes": ["read", "manage"]}, token=manager)
    me = api.get("me", token=answer.json["token"]).json
    assert me["kind"] == "service"
    assert me["tenants"] == [{"slug": "climate", "name": "Climate", "roles": ["member"]}]
    assert me["scopes"] == ["manage", "read"]
    assert api.get("tokens", token=answer.json["token"]).status == 403


def test_a_disabled_service_account_is_refused(api: Api, federation: Federation, communities: Communities) -> None:
    manager, token = federation.alice.token, token_of(communities.climate.service)
    path = "tenants/climate/service-accounts/pipeline"
    assert api.patch(path, {"enabled": False}, token=manager).status == 200
    remembered.forget_everything()
    assert api.get("me", token=token).status == 401


def test_only_the_first_answer_contains_the_secret(api: Api, federation: Federation, communities: Communities) -> None:
    manager = federation.alice.token
    row = ApiToken.objects.filter(node=communities.climate.node).get()
    answer = api.get(f"virtual-nodes/climate-1/tokens/{row.pk}", token=manager)
    assert set(answer.json) == {
        "id", "kind", "hint", "label", "scopes", "tenant", "created_at", "expires_at", "revoked_at", "last_used_at",
    }  # fmt: skip
    assert len(answer.json["hint"]) == 8
