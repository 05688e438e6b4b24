"""Tenants, members, roles and virtual nodes in the API: what changes, what is recorded, and what prevents a change."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from django.conf import settings

from controlplane.audit.models import Event
from controlplane.tenants.models import Membership, Person, Tenant, VirtualNode
from sites.models import Allocation, Route
from tests.factories import make_person, make_pod, make_request
from tests.federation import token_of
from tests.wire import call

if TYPE_CHECKING:
    from tests.api import Api
    from tests.federation import Communities, Federation

pytestmark = pytest.mark.usefixtures("communities")


def test_me_shows_a_persons_roles_and_token(api: Api, federation: Federation) -> None:
    manager = federation.alice.person
    told = api.get("me", token=token_of(manager, scopes=["read"])).json
    assert told["token"].pop("id")
    assert told["token"].pop("expires_at")
    assert told == {
        "kind": "person",
        "name": "Alice",
        "issuer": manager.issuer,
        "subject": manager.subject,
        "roles": [],
        "tenants": [{"slug": "climate", "name": "Climate", "roles": ["manager"]}],
        "scopes": ["read"],
        "token": {"hint": manager.tokens.get().hint, "tenant": None},
    }
    told = api.get("me", token=federation.vera.token).json
    assert told["roles"] == [{"role": "site_operator", "site": "vega"}]
    assert api.get("me", token=federation.nora.token).json["tenants"] == []


def test_each_caller_sees_the_tenants_within_reach(api: Api, federation: Federation) -> None:
    def seen(person: Person) -> list[str]:
        return [item["slug"] for item in api.get("tenants", token=token_of(person)).json["items"]]

    assert seen(federation.ada.person) == ["physics", "climate"]
    assert seen(federation.adam.person) == ["climate"]
    assert seen(federation.vera.person) == ["climate"], "the tenants with an allocation at the site"


def test_a_new_tenant_is_recorded_and_a_second_one_of_its_name_is_a_conflict(api: Api, federation: Federation) -> None:
    token = federation.olga.token
    answer = api.post("tenants", {"slug": "geology", "name": "Geology"}, token=token)
    assert answer.status == 201
    assert answer.json.items() >= {"slug": "geology", "name": "Geology", "enabled": True}.items()
    event = Event.objects.get(verb="tenant.create", object_id=Tenant.objects.get(slug="geology").pk)
    assert event.actor == "Olga"
    assert event.changes["slug"] == [None, "geology"]
    assert api.post("tenants", {"slug": "geology", "name": "Other"}, token=token).status == 409


def test_a_change_records_what_differs_and_an_unchanged_value_records_nothing(api: Api, federation: Federation) -> None:
    token = federation.olga.token
    for _ in range(2):
        answer = api.patch("tenants/climate", {"enabled": False, "name": "Climate"}, token=token)
        assert (answer.status, answer.json["enabled"]) == (200, False)
    assert [event.changes for event in Event.objects.filter(verb="tenant.change")] == [{"enabled": [True, False]}]


def test_a_managers_node_may_only_use_sites_with_an_allocation(api: Api, federation: Federation) -> None:
    token = federation.alice.token
    node = {"slug": "climate-2", "tenant": "climate"}
    elsewhere = api.post("virtual-nodes", {**node, "site": "juno"}, token=token)
    assert (elsewhere.status, elsewhere.json["errors"][0]["field"]) == (400, "site")
    Allocation.objects.filter(tenant=federation.climate).update(enabled=False)
    assert api.post("virtual-nodes", {**node, "site": "vega"}, token=token).status == 400
    Allocation.objects.update(enabled=True)
    answer = api.post("virtual-nodes", {**node, "site": "vega", "accelerators": {"nvidia.com/gpu": 4}}, token=token)
    assert answer.status == 201
    assert answer.json.items() >= {"site": "vega", "tenant": "climate", "accelerators": {"nvidia.com/gpu": 4}}.items()
    assert Route.objects.get(node__slug="climate-2").site.slug == "vega"


def test_a_federation_operator_may_route_a_node_to_any_site(api: Api, federation: Federation) -> None:
    token = federation.olga.token
    answer = api.patch("virtual-nodes/climate-1", {"site": "juno", "cpus": 8}, token=token)
    assert (answer.status, answer.json["site"], answer.json["cpus"]) == (200, "juno", 8)
    event = Event.objects.get(verb="node.route")
    assert (event.site, event.changes) == ("juno", {"site": ["vega", "juno"]})
    assert api.patch("virtual-nodes/climate-1", {"site": "nowhere"}, token=token).status == 400


def test_a_node_for_another_tenant_is_refused_like_one_for_an_unknown_tenant(api: Api, federation: Federation) -> None:
    token = federation.alice.token
    body = {"slug": "new", "site": "juno"}
    answers = [api.post("virtual-nodes", {**body, "tenant": name}, token=token) for name in ("physics", "nowhere")]
    assert [answer.status for answer in answers] == [400, 400]
    assert answers[0].json["errors"][0]["detail"].replace("physics", "") == answers[1].json["errors"][0][
        "detail"
    ].replace("nowhere", "")
    assert not VirtualNode.objects.filter(slug="new").exists()


@pytest.mark.parametrize("odd", [{"a b": 1}, {"\u0000": 1}, {"nvidia.com/gpu": -1}, {"nvidia.com/gpu": "many"}, []])
def test_malformed_accelerators_are_refused(api: Api, federation: Federation, odd: object) -> None:
    token = federation.olga.token
    assert api.patch("virtual-nodes/climate-1", {"accelerators": odd}, token=token).status == 400


def test_members_are_listed_with_their_source_and_end(api: Api, federation: Federation) -> None:
    tenant, person = federation.climate, make_person(name="Clara Claimed")
    claimed = Membership.objects.create(
        person=person, tenant=tenant, role="member", origin="claimed", rule="vo members"
    )
    listed = api.get("tenants/climate/members?role=member", token=federation.ada.token).json["items"]
    assert [item["person"]["name"] for item in listed] == ["Clara Claimed", "Adam"]
    assert (listed[0]["origin"], listed[0]["rule"], listed[0]["lapses_at"] > listed[0]["seen_at"]) == (
        "claimed",
        "vo members",
        True,
    )
    assert listed[1]["lapses_at"] is None
    claimed.seen_at -= timedelta(seconds=settings.MEMBERSHIP_LAPSE)
    claimed.save()
    only = api.get("tenants/climate/members?lapsed=true", token=federation.ada.token).json["items"]
    assert [item["id"] for item in only] == [claimed.pk]


def test_a_manager_adds_someone_by_their_home_identity_and_removes_them(api: Api, federation: Federation) -> None:
    token, guest = federation.alice.token, federation.nora.person
    body = {"issuer": guest.issuer, "subject": guest.subject}
    answers = [api.post("tenants/climate/members", body, token=token) for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    assert Membership.objects.filter(person=guest).count() == 1
    path = f"tenants/climate/members/{answers[0].json['id']}"
    assert [api.delete(path, token=token).status for _ in range(2)] == [204, 404]
    verbs = Event.objects.filter(object_kind="membership", actor_id=federation.alice.person.pk)
    assert [event.verb for event in verbs.order_by("id")] == ["membership.give", "membership.take"]


def test_a_persons_number_reveals_nothing_of_other_tenants_people(api: Api, federation: Federation) -> None:
    token, stranger = federation.alice.token, federation.bea.person
    answers = [api.post("tenants/climate/members", {"person": pk}, token=token) for pk in (stranger.pk, 2**62)]
    assert [answer.status for answer in answers] == [400, 400]
    assert answers[0].json["errors"] == answers[1].json["errors"]
    known = {"person": federation.adam.person.pk, "role": "manager"}
    assert api.post("tenants/climate/members", known, token=token).status == 201


@pytest.mark.parametrize("body", [{}, {"issuer": "https://nobody.example"}, {"subject": "x"}])
def test_an_invitation_without_a_person_is_refused(api: Api, federation: Federation, body: dict[str, str]) -> None:
    assert api.post("tenants/climate/members", body, token=federation.olga.token).status == 400


def test_people_of_an_unknown_issuer_cannot_be_invited(api: Api, federation: Federation) -> None:
    body = {"issuer": "https://nobody.example", "subject": "x"}
    answer = api.post("tenants/climate/members", body, token=federation.olga.token)
    assert (answer.status, answer.json["errors"][0]["field"]) == (400, "issuer")


def test_the_api_cannot_remove_a_claimed_membership(api: Api, federation: Federation) -> None:
    held = Membership.objects.create(
        person=federation.nora.person, tenant=federation.climate, role="member", origin="claimed"
    )
    answer = api.delete(f"tenants/climate/members/{held.pk}", token=federation.alice.token)
    assert answer.status == 400
    assert "home organisation" in answer.json["detail"]


def test_a_federation_operator_grants_and_removes_roles(api: Api, federation: Federation) -> None:
    token, guest = federation.olga.token, federation.nora.person
    body = {"person": guest.pk, "role": "site_operator", "site": "juno"}
    answer = api.post("roles", body, token=token)
    assert (answer.status, answer.json["site"]) == (201, "juno")
    assert api.get("me", token=token_of(guest)).json["roles"] == [{"role": "site_operator", "site": "juno"}]
    assert [item["id"] for item in api.get("roles?site=juno", token=token).json["items"]] == [
        answer.json["id"], federation.juna.person.role_grants.get().pk,
    ]  # fmt: skip
    assert api.delete(f"roles/{answer.json['id']}", token=token).status == 204
    assert api.get("me", token=token_of(guest)).json["roles"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"role": "site_operator"},
        {"role": "site_operator", "site": "nowhere"},
        {"role": "federation_auditor", "site": "vega"},
        {"role": "king"},
    ],
)
def test_a_site_role_needs_a_site_and_other_roles_refuse_one(
    api: Api, federation: Federation, body: dict[str, str]
) -> None:
    answer = api.post("roles", {"person": federation.nora.person.pk, **body}, token=federation.olga.token)
    assert answer.status == 400


def test_what_a_manager_made_belongs_to_the_tenant_and_stays_when_they_leave(
    api: Api, communities: Communities
) -> None:
    climate = communities.climate
    token = token_of(climate.manager)
    fields = {"slug": "made", "tenant": climate.slug, "site": climate.site.slug}
    assert api.post("virtual-nodes", fields, token=token).status == 201
    kubelets = api.post("virtual-nodes/made/tokens", {}, token=token).json["token"]
    Membership.objects.filter(person=climate.manager).delete()
    assert api.post("virtual-nodes/made/tokens", {}, token=token).status == 403
    pod = make_pod()
    assert call("POST", "/create", make_request(pod), token=kubelets).status == 200
    assert call("DELETE", "/delete", pod, token=kubelets).status == 200
