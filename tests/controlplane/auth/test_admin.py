from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.admin import site as site_of_admin
from django.test import Client, RequestFactory
from django.utils import timezone

from controlplane.audit.models import Event
from controlplane.auth import token_format
from controlplane.auth.admin_base import RecordedAdmin
from controlplane.auth.tokens import issue
from controlplane.tenants.models import ApiToken, Membership, Person, RoleGrant, Tenant, VirtualNode
from sites.models import Allocation
from tests.factories import make_node, make_person, make_service, make_site, make_tenant

pytestmark = pytest.mark.django_db


def test_a_new_node_shows_its_token_once_and_stores_only_its_hash(operator: Client) -> None:
    fields = {"tenant": make_tenant().pk, "slug": "new-node", "enabled": "on", "accelerators": "{}"}
    inline = {"tokens-TOTAL_FORMS": "0", "tokens-INITIAL_FORMS": "0"}
    page = operator.post("/admin/tenants/virtualnode/add/", fields | inline)
    [text] = re.findall(r"isn_\w+", page.content.decode())
    assert "no-store" in page["Cache-Control"]
    assert ApiToken.objects.get(node__slug="new-node").digest == token_format.digest(text)
    again = operator.get(f"/admin/tenants/virtualnode/{VirtualNode.objects.get().pk}/change/")
    assert text not in again.content.decode()


def test_a_second_token_leaves_the_first_valid_and_revoking_ends_both(operator: Client) -> None:
    node, _ = make_node()
    chosen = {"_selected_action": [node.pk]}
    operator.post("/admin/tenants/virtualnode/", chosen | {"action": "issue_token"})
    assert ApiToken.objects.filter(node=node, revoked_at=None, expires_at__gt=timezone.now()).count() == 2
    operator.post("/admin/tenants/virtualnode/", chosen | {"action": "revoke_tokens"})
    assert not ApiToken.objects.filter(node=node, revoked_at=None).exists()


def test_a_person_who_is_not_an_administrator_is_sent_to_the_login() -> None:
    client = Client()
    client.force_login(Person.objects.create_user("somebody"))
    assert "/admin/login/" in client.get("/admin/tenants/virtualnode/")["Location"]


def act(operator: Client, path: str, action: str, *chosen: int) -> str:
    """Run an admin action on some rows. Return the page that follows."""
    answer = operator.post(f"/admin/{path}/", {"_selected_action": [*chosen], "action": action}, follow=True)
    assert answer.status_code == 200
    return answer.content.decode()


def test_a_client_secret_is_shown_once_and_revoked_with_the_nodes_tokens(operator: Client) -> None:
    node, _ = make_node()
    [text] = re.findall(r"isc_\w{36}", act(operator, "tenants/virtualnode", "issue_secret", node.pk))
    secret = ApiToken.objects.get(digest=token_format.digest(text))
    assert (secret.kind, secret.node) == ("client", node)
    assert text not in operator.get(f"/admin/tenants/virtualnode/{node.pk}/change/").content.decode()
    act(operator, "tenants/virtualnode", "revoke_tokens", node.pk)
    assert not ApiToken.objects.filter(node=node, revoked_at=None).exists()
    assert Event.objects.filter(verb="token.revoke").count() == 2


def test_a_service_accounts_token_is_issued_and_personal_ones_are_revoked(operator: Client) -> None:
    service = make_service()
    [text] = re.findall(r"iss_\w{36}", act(operator, "tenants/serviceaccount", "issue_token", service.pk))
    assert ApiToken.objects.get(digest=token_format.digest(text)).service == service
    row, _ = issue.mint_personal(make_person(), scopes=["read"], lifetime=timedelta(days=1))
    assert row.hint in operator.get("/admin/tenants/apitoken/").content.decode()
    act(operator, "tenants/apitoken", "revoke_chosen", row.pk)
    row.refresh_from_db()
    assert row.revoked_at is not None
    assert operator.get("/admin/tenants/apitoken/add/").status_code == 403


def test_an_administrators_additions_changes_and_deletions_are_in_the_trail(operator: Client) -> None:
    operator.post("/admin/tenants/tenant/add/", {"name": "Community", "slug": "vo", "enabled": "on"})
    tenant = Tenant.objects.get(slug="vo")
    operator.post(f"/admin/tenants/tenant/{tenant.pk}/change/", {"name": "Renamed", "slug": "vo"})
    operator.post(f"/admin/tenants/tenant/{tenant.pk}/delete/", {"post": "yes"})
    created, changed, deleted = Event.objects.order_by("id")
    assert [event.verb for event in (created, changed, deleted)] == ["tenant.create", "tenant.change", "tenant.delete"]
    assert changed.changes == {"name": ["Community", "Renamed"], "enabled": [True, False]}
    assert {event.actor_kind for event in (created, changed, deleted)} == {"person"}
    assert {event.tenant_id for event in (created, changed, deleted)} == {tenant.pk}
    assert not Tenant.objects.exists()


def test_a_persons_password_is_not_in_the_trail(operator: Client) -> None:
    person, password = make_person(), "correct horse battery"
    fields = {"password1": password, "password2": password, "usable_password": "true"}
    operator.post(f"/admin/tenants/person/{person.pk}/password/", fields)
    person.refresh_from_db()
    assert person.check_password(password)
    told = str(list(Event.objects.values_list("verb", "changes")))
    assert [event.verb for event in Event.objects.order_by("id")] == ["person.change"]
    assert "horse" not in told
    assert "pbkdf2" not in told


def test_these_pages_cannot_create_administrators_or_change_an_identity(operator: Client) -> None:
    assert operator.get("/admin/tenants/person/add/").status_code == 403
    person = make_person()
    wanted = {"username": "root", "issuer": "https://evil.example.org", "subject": "root"}
    changes = {"name": "Renamed", "is_active": "on", "is_staff": "on", "is_superuser": "on", **wanted}
    operator.post(f"/admin/tenants/person/{person.pk}/change/", changes)
    now = Person.objects.get(pk=person.pk)
    assert now.name == "Renamed"
    assert (now.is_staff, now.is_superuser) == (False, False)
    assert (now.username, now.issuer, now.subject) == (person.username, person.issuer, person.subject)


def test_every_page_that_changes_something_writes_to_the_trail() -> None:
    """An allocation's event is written by the use case (sites/allocations.py)."""
    unrecorded = [model for model, page in site_of_admin._registry.items() if not isinstance(page, RecordedAdmin)]
    assert unrecorded == [Allocation]


def test_a_membership_added_by_hand_is_manual_and_can_be_removed(operator: Client) -> None:
    person, tenant = make_person(), make_tenant()
    fields = {"person": person.pk, "tenant": tenant.pk, "role": "manager"}
    operator.post("/admin/tenants/membership/add/", fields)
    again = operator.post("/admin/tenants/membership/add/", fields)
    assert "already" in again.content.decode()
    membership = Membership.objects.get()
    assert (membership.person, membership.role, membership.origin) == (person, "manager", "manual")
    operator.post(f"/admin/tenants/membership/{membership.pk}/delete/", {"post": "yes"})
    assert [event.verb for event in Event.objects.order_by("id")] == ["membership.give", "membership.take"]
    assert {event.tenant_id for event in Event.objects.all()} == {tenant.pk}


def test_a_claimed_membership_cannot_be_removed_by_hand(operator: Client) -> None:
    claimed = Membership.objects.create(person=make_person(), tenant=make_tenant(), role="member", origin="claimed")
    assert operator.post(f"/admin/tenants/membership/{claimed.pk}/delete/", {"post": "yes"}).status_code == 403
    act(operator, "tenants/membership", "delete_selected", claimed.pk)
    assert Membership.objects.exists()


def test_a_site_role_can_be_given_by_hand(operator: Client) -> None:
    fields = {"person": make_person().pk, "role": "site_operator", "site": "hpc"}
    operator.post("/admin/tenants/rolegrant/add/", fields | {"site": ""})
    assert not RoleGrant.objects.exists(), "a site operator needs a site"
    operator.post("/admin/tenants/rolegrant/add/", fields)
    event = Event.objects.get()
    assert (event.verb, event.site) == ("role.give", "hpc")


def test_changes_of_allocations_and_flavors_are_recorded_with_tenant_and_site(operator: Client) -> None:
    site, tenant = make_site(slug="hpc"), make_tenant()
    fields = {"tenant": tenant.pk, "site": site.pk, "enabled": "on", "valid_from_0": "2026-01-01"}
    fields |= {"valid_from_1": "00:00", "gpus": "{}", "period": "month", "default_time_limit": 3600, "priority": 0}
    operator.post("/admin/hpc_sites/allocation/add/", fields | {"pods": 5})
    allocation = Allocation.objects.get()
    operator.post(f"/admin/hpc_sites/allocation/{allocation.pk}/change/", fields | {"pods": 3})
    operator.post("/admin/hpc_sites/flavor/add/", {"site": site.pk, "name": "small"})
    events = list(Event.objects.order_by("id"))
    assert [(event.verb, event.tenant_id, event.site) for event in events] == [
        ("allocation.grant", tenant.pk, "hpc"),
        ("allocation.change", tenant.pk, "hpc"),
        ("flavor.create", None, "hpc"),
    ]
    assert events[1].changes == {"pods": [5, 3]}


def test_the_trail_records_that_a_sites_secret_was_set_and_not_the_secret(operator: Client) -> None:
    fields = {"name": "HPC", "slug": "hpc", "kind": "memory", "secret": "hush-hush", "poll_interval": 5}
    fields["config"] = '{"name": "hpc"}'
    inline = {"partitions-TOTAL_FORMS": "0", "partitions-INITIAL_FORMS": "0"}
    operator.post("/admin/hpc_sites/site/add/", fields | inline)
    replaced, created = Event.objects.order_by("id")
    assert (replaced.verb, created.verb) == ("site.secret", "site.create")
    assert {replaced.site, created.site} == {"hpc"}
    assert "hush" not in str([replaced.changes, created.changes])


def test_every_list_and_form_of_the_admin_opens(operator: Client) -> None:
    make_node()
    make_service()
    for model, model_admin in site_of_admin._registry.items():
        path = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        assert operator.get(path).status_code == 200, path
        assert operator.get(path + "?q=something").status_code == 200, path
        request = RequestFactory().get("/")
        request.user = Person.objects.get(username="operator")
        if model_admin.has_add_permission(request):
            assert operator.get(path + "add/").status_code == 200, path


def test_people_are_listed_by_name_and_not_by_their_user_name_digest(operator: Client) -> None:
    ada = Person.objects.create(username="0a1b2c3d", name="Ada", issuer="https://aai.egi.eu", subject="ada@egi.eu")
    Membership.objects.create(person=ada, tenant=make_tenant(), role="member")
    for path in ("person", "membership"):
        page = operator.get(f"/admin/tenants/{path}/").content.decode()
        assert ">Ada</a>" in page
        assert "0a1b2c3d" not in page
