"""Giving allocations: terms with sentences, accounts that only one tenant has, and everything in the audit trail."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connections
from django.utils import timezone

from controlplane.audit.models import Event
from controlplane.errors import Conflict, Invalid
from sites import allocations
from sites.models import Allocation, Flavor
from tests.factories import make_allocation, make_site, make_tenant
from tests.threads import at_once

pytestmark = pytest.mark.django_db


def test_a_grant_sets_its_terms_and_is_in_the_trail() -> None:
    tenant, site = make_tenant(), make_site()
    terms = {"pods": 12, "gpus": {"A100": 4, "": 8}, "cpu_hours": 1000, "valid_until": "2030-01-01T00:00:00Z"}
    allocation = allocations.grant(tenant, site, terms)
    allocation.refresh_from_db()
    assert (allocation.pods, allocation.gpus, allocation.cpu_hours) == (12, {"a100": 4, "": 8}, 1000)
    assert allocation.valid_until is not None
    assert allocation.next_start_at is not None
    event = Event.objects.get(verb="allocation.grant")
    assert (event.tenant_id, event.site, event.object_id) == (tenant.pk, site.slug, str(allocation.pk))
    assert event.changes["pods"] == [None, 12]


def test_a_change_records_the_difference_and_leaves_counters_alone() -> None:
    allocation = make_allocation(make_tenant(), make_site(), pods=3, used_pods=2)
    changed = allocations.change(allocation, {"pods": 1, "qos": "high"})
    changed.refresh_from_db()
    assert (changed.pods, changed.qos, changed.used_pods) == (1, "high", 2)
    assert Event.objects.get(verb="allocation.change").changes == {"pods": [3, 1], "qos": ["", "high"]}


def test_a_revoked_allocation_can_be_given_again() -> None:
    allocation = make_allocation(make_tenant(), make_site(), pods=3)
    assert allocations.revoke(allocation).enabled is False
    again = allocations.grant(allocation.tenant, allocation.site, {"pods": 4})
    assert (again.pk, again.enabled, again.pods) == (allocation.pk, True, 4)


def test_a_second_allocation_at_a_site_is_a_conflict() -> None:
    allocation = make_allocation(make_tenant(), make_site())
    with pytest.raises(Conflict, match="change that one"):
        allocations.grant(allocation.tenant, allocation.site, {})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("pods", -1), ("pods", "5"), ("pods", True), ("pods", 2**31), ("cpus", 1.5), ("memory", 2**70),
        ("cpu_hours", 2**50), ("gpus", [1]), ("gpus", {"a100": -1}), ("gpus", {"a b": 1}), ("gpus", {"a100": True}),
        ("period", "week"), ("default_time_limit", 0), ("default_time_limit", None), ("priority", 10**6),
        ("local_account", "root; rm"), ("local_account", "-x"), ("qos", "a\nb"), ("partitions", "gpu"),
        ("partitions", ["a b"]), ("flavors", ["unknown"]), ("valid_from", "2026-01-01"), ("valid_until", "soon"),
        ("valid_until", "2026-13-01T00:00:00Z"), ("enabled", 1), ("used_pods", 0), ("tenant", 3),
    ],
)  # fmt: skip
def test_an_invalid_term_is_named_in_a_sentence(field: str, value: Any) -> None:
    with pytest.raises(Invalid) as refusal:
        allocations.grant(make_tenant(), make_site(), {field: value, "pods" if field != "pods" else "cpus": 1})
    assert list(refusal.value.errors) == [field]
    assert refusal.value.errors[field].endswith(".")
    assert not Allocation.objects.exists()


def test_an_allocation_must_end_after_it_begins() -> None:
    now = timezone.now()
    with pytest.raises(Invalid, match="end after it begins"):
        allocations.grant(make_tenant(), make_site(), {"valid_from": now, "valid_until": now - timedelta(days=1)})


def test_a_flavor_of_the_site_may_be_named() -> None:
    site = make_site()
    Flavor.objects.create(site=site, name="small")
    assert allocations.grant(make_tenant(), site, {"flavors": ["small"]}).flavors == ["small"]


@pytest.mark.parametrize("account", ["", "shared"])
def test_two_tenants_do_not_share_an_account(account: str) -> None:
    site = make_site(shared_account=False)
    allocations.grant(make_tenant(), site, {"local_account": account})
    other = make_tenant()
    with pytest.raises(Invalid) as refusal:
        allocations.grant(other, site, {"local_account": account})
    assert list(refusal.value.errors) == ["local_account"]
    mine = allocations.grant(other, site, {"local_account": "mine"})
    with pytest.raises(Invalid):
        allocations.change(mine, {"local_account": account})
    assert allocations.grant(other, make_site(shared_account=False), {"local_account": account})


def test_tenants_share_an_account_if_the_site_allows_it() -> None:
    site = make_site(shared_account=True)
    for _ in range(2):
        allocations.grant(make_tenant(), site, {"local_account": "shared"})


@pytest.mark.django_db(transaction=True)
def test_of_two_simultaneous_grants_of_one_account_one_succeeds() -> None:
    site = make_site(shared_account=False)
    outcomes: list[str] = []

    def grant(number: int) -> None:
        try:
            allocations.grant(tenants[number], site, {"local_account": "one"})
            outcomes.append("granted")
        except Invalid:
            outcomes.append("refused")
        finally:
            connections.close_all()

    tenants = [make_tenant() for _ in range(3)]
    at_once(*[lambda number=number: grant(number) for number in range(3)])
    assert sorted(outcomes) == ["granted", "refused", "refused"]
