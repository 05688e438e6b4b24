"""Memberships and roles over time: what a login adds, renews and removes, what lapses, what is given by hand."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from controlplane.audit.models import Event
from controlplane.auth import memberships
from controlplane.auth.oidc.apply_claims import apply_claims
from controlplane.auth.oidc.issuer import Give, Issuer, Rule
from controlplane.auth.rights import Held, rights_of
from controlplane.auth.roles import Role
from controlplane.errors import BadRequest, Invalid
from controlplane.tenants.models import Membership, Origin, Person, RoleGrant, Tenant
from tests.database_roles import as_web_role
from tests.factories import make_tenant
from tests.issuers import GOC, GOC_VALUE, MANAGERS, MEMBERS, E, issuer

pytestmark = pytest.mark.django_db

NOW = timezone.now()
MEMBER, MANAGER = E + "vo.a:role=member#aai.egi.eu", E + "vo.a:role=manager#aai.egi.eu"
EGI = issuer(MEMBERS, MANAGERS, GOC)
ANY = Rule("any", Give.MEMBER, group=("*",), role="member", tenant="{1}")


@pytest.fixture
def ada() -> Person:
    return Person.objects.create(username="ada", name="Ada", issuer=EGI.issuer, subject="ada")


@pytest.fixture(autouse=True)
def tenant() -> Tenant:
    return make_tenant(slug="vo-a")


def log_in(person: Person, *values: str, at: Any = NOW, by: Issuer = EGI, **claims: Any) -> None:
    apply_claims(person, by, {"entitlements": [*values], **claims}, now=at)


def held(person: Person) -> set[tuple[str, str]]:
    return {(each.tenant.slug, each.role) for each in person.memberships.select_related("tenant")} | {
        (each.site, each.role) for each in person.role_grants.all()
    }


def events() -> list[str]:
    return list(Event.objects.order_by("id").values_list("verb", flat=True))


def test_a_login_adds_renews_and_removes(ada: Person) -> None:
    log_in(ada, MEMBER, GOC_VALUE)
    assert held(ada) == {("vo-a", "member"), ("example", "site_operator")}
    membership = ada.memberships.get()
    assert (membership.origin, membership.rule, membership.seen_at) == ("claimed", "members", NOW)
    later = NOW + timedelta(days=1)
    log_in(ada, MEMBER, MANAGER, at=later)
    assert held(ada) == {("vo-a", "member"), ("vo-a", "manager")}
    assert set(ada.memberships.values_list("seen_at", flat=True)) == {later}
    log_in(ada, at=later)
    assert held(ada) == set()
    assert events() == [
        "membership.give", "role.give", "membership.give", "role.take", "membership.take", "membership.take",
    ]  # fmt: skip


def test_every_change_records_the_person_and_the_rule(ada: Person, tenant: Tenant) -> None:
    log_in(ada, MEMBER)
    event = Event.objects.get()
    assert event.tenant_id == tenant.pk
    assert event.changes == {"person": ada.pk, "role": "member", "origin": "claimed", "rule": "members"}


def test_a_missing_claim_neither_removes_nor_renews(ada: Person) -> None:
    log_in(ada, MEMBER, GOC_VALUE)
    apply_claims(ada, EGI, {"sub": "ada"}, now=NOW + timedelta(days=3))
    assert held(ada) == {("vo-a", "member"), ("example", "site_operator")}
    assert ada.memberships.get().seen_at == NOW


def test_manual_memberships_stay_whatever_the_claims_say(ada: Person, tenant: Tenant) -> None:
    memberships.give_membership(ada, tenant, Membership.Role.MEMBER)
    memberships.give_role(ada, RoleGrant.Role.FEDERATION_AUDITOR)
    log_in(ada, MEMBER)
    assert ada.memberships.count() == 2
    log_in(ada)
    assert held(ada) == {("vo-a", "member"), ("", "federation_auditor")}
    assert ada.memberships.get().origin == Origin.MANUAL


def test_a_removed_rule_removes_what_it_gave(ada: Person) -> None:
    log_in(ada, MEMBER)
    log_in(ada, MEMBER, by=issuer(GOC))
    assert held(ada) == set()


def test_a_membership_that_another_rule_gives_now_is_kept(ada: Person) -> None:
    log_in(ada, MEMBER)
    renamed = Rule("renamed", Give.MEMBER, group=("vo.a",), role="member", tenant="vo-a")
    log_in(ada, MEMBER, by=issuer(renamed))
    assert ada.memberships.get().rule == "renamed"
    assert events() == ["membership.give"]


def test_an_unknown_tenant_gives_no_membership(ada: Person) -> None:
    elsewhere = Rule("elsewhere", Give.MEMBER, group=("vo.a",), role="member", tenant="nowhere")
    log_in(ada, MEMBER, by=issuer(elsewhere))
    assert held(ada) == set()
    assert not Tenant.objects.filter(slug="nowhere").exists()


def test_a_tenant_is_created_at_first_sight_if_that_is_allowed(ada: Person) -> None:
    them = issuer(ANY, create_tenants=("*.example.org",))
    for _ in range(2):
        log_in(ada, E + "new.example.org:role=member", E + "new.elsewhere.org:role=member", by=them)
    assert held(ada) == {("new-example-org", "member")}
    assert Tenant.objects.get(slug="new-example-org").name == "new.example.org"
    assert events() == ["tenant.create", "membership.give"]


def test_a_tenant_named_in_a_rule_is_created_too(ada: Person) -> None:
    rule = Rule("named", Give.MEMBER, group=("new.example.org",), role="member", tenant="chosen")
    log_in(ada, E + "new.example.org:role=member", by=issuer(rule, create_tenants=("new.example.org",)))
    assert held(ada) == {("chosen", "member")}


def test_groups_with_similar_names_never_share_a_tenant(ada: Person) -> None:
    them = issuer(ANY, create_tenants=("*",))
    log_in(ada, E + "vo.a:role=member", E + "vo-a:role=member", by=them)
    slugs = set(ada.memberships.values_list("tenant__slug", flat=True))
    assert len(slugs) == 2
    assert "vo-a" not in slugs  # an operator created that one for another community
    other = issuer(ANY, profile="indigo-iam", create_tenants=("*",))
    bob = Person.objects.create(username="bob", issuer="https://other.example.org", subject="bob")
    stranger = Rule("any", Give.MEMBER, group=("*",), tenant="{1}")
    other = Issuer(**{**vars(other), "issuer": "https://other.example.org", "rules": (stranger,)})
    apply_claims(bob, other, {"groups": ["vo.a"]}, now=NOW)
    assert not slugs & set(bob.memberships.values_list("tenant__slug", flat=True))


def test_claimed_memberships_lapse_and_manual_ones_do_not(ada: Person, tenant: Tenant) -> None:
    log_in(ada, MEMBER, GOC_VALUE)
    memberships.give_membership(ada, tenant, Membership.Role.MANAGER, now=NOW)
    month = timedelta(days=30)
    assert memberships.lapse(now=NOW + month - timedelta(seconds=1)) == 0
    assert memberships.lapse(now=NOW + month) == 2
    assert held(ada) == {("vo-a", "manager")}
    assert events()[-2:] == ["membership.lapse", "role.lapse"]
    assert memberships.lapse(now=NOW + month) == 0


def test_a_lapsed_membership_does_not_count_before_the_sweep_and_counts_again_after_a_login(ada: Person) -> None:
    log_in(ada, MEMBER)
    later = NOW + timedelta(days=31)
    assert rights_of(ada, now=later).held == ()
    log_in(ada, MEMBER, at=later)
    assert [each.role for each in rights_of(ada, now=later).held] == [Role.TENANT_MEMBER]
    assert events() == ["membership.give", "membership.give"]


def test_a_second_grant_by_hand_changes_nothing_and_removal_is_recorded(ada: Person, tenant: Tenant) -> None:
    first = memberships.give_membership(ada, tenant, Membership.Role.MEMBER)
    assert memberships.give_membership(ada, tenant, Membership.Role.MEMBER) == first
    grant = memberships.give_role(ada, RoleGrant.Role.SITE_OPERATOR, site="vega")
    memberships.take(first)
    memberships.take(grant)
    assert held(ada) == set()
    assert events() == ["membership.give", "role.give", "membership.take", "role.take"]
    assert Event.objects.filter(site="vega").count() == 2


def test_a_claimed_membership_cannot_be_removed_by_hand(ada: Person) -> None:
    log_in(ada, MEMBER)
    with pytest.raises(BadRequest, match="home organisation"):
        memberships.take(ada.memberships.get())


@pytest.mark.parametrize(("role", "site"), [("site_operator", ""), ("federation_operator", "vega")])
def test_only_the_site_operator_role_has_a_site(ada: Person, role: str, site: str) -> None:
    with pytest.raises(Invalid):
        memberships.give_role(ada, RoleGrant.Role(role), site=site)


def test_rights_need_an_enabled_tenant_and_an_active_person(ada: Person, tenant: Tenant) -> None:
    log_in(ada, MEMBER, GOC_VALUE)
    expected = {Held(Role.TENANT_MEMBER, tenant_id=tenant.pk), Held(Role.SITE_OPERATOR, site="example")}
    assert set(rights_of(ada, now=NOW).held) == expected
    tenant.enabled = False
    tenant.save()
    assert set(rights_of(ada, now=NOW).held) == {Held(Role.SITE_OPERATOR, site="example")}
    ada.is_active = False
    assert rights_of(ada, now=NOW).held == ()


def test_an_administrator_has_a_federation_operators_rights() -> None:
    root = Person.objects.create_superuser("root")
    assert rights_of(root, now=NOW).held == (Held(Role.FEDERATION_OPERATOR),)


@pytest.mark.django_db(transaction=True)
def test_the_web_role_can_do_all_this_under_row_security(ada: Person) -> None:
    them = issuer(ANY, create_tenants=("*",))
    with as_web_role():
        log_in(ada, E + "one.example.org:role=member", E + "two.example.org:role=member", by=them)
        log_in(ada, E + "two.example.org:role=member", by=them)
        assert len(rights_of(ada, now=NOW).held) == 1
        assert Membership.objects.count() == 0  # outside of any scope
    assert held(ada) == {("two-example-org", "member")}
    assert events() == ["tenant.create", "membership.give", "tenant.create", "membership.give", "membership.take"]
