"""Approval requests: made by a tenant, decided once by an operator, and carried out with the decision."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connections

from controlplane.audit.models import Event
from controlplane.errors import Conflict, Invalid
from controlplane.tenants.models import ApprovalRequest, Person, Tenant, VirtualNode
from controlplane.tenants.scope import seeing
from sites import approvals
from sites.models import Allocation, Site
from tests.database_roles import as_role
from tests.factories import make_allocation, make_node, make_site, make_tenant
from tests.threads import at_once

pytestmark = pytest.mark.django_db


@pytest.fixture
def tenant() -> Tenant:
    return make_tenant()


@pytest.fixture
def site() -> Site:
    return make_site()


def ask(tenant: Tenant, site: Site | None, kind: str = "allocation", **fields: Any) -> ApprovalRequest:
    return approvals.ask(kind, **{"tenant": tenant, "person": None, "site": site, "payload": {"pods": 3}, **fields})


def test_a_grant_gives_what_was_requested(tenant: Tenant, site: Site) -> None:
    operator = Person.objects.create(username="operator")
    request = ask(tenant, site, justification="a campaign")
    decided = approvals.decide(request, person=operator, grant=True)
    allocation = Allocation.objects.get()
    assert (allocation.tenant, allocation.site, allocation.pods) == (tenant, site, 3)
    assert (decided.state, decided.decision, decided.subject) == ("granted", {"pods": 3}, allocation.pk)
    assert decided.decided_by == operator
    verbs = list(Event.objects.order_by("id").values_list("verb", flat=True))
    assert verbs == ["request.ask", "allocation.grant", "request.grant"]


def test_an_operator_may_grant_other_terms(tenant: Tenant, site: Site) -> None:
    decided = approvals.decide(ask(tenant, site), person=None, grant=True, payload={"pods": 1}, reason="it is small")
    assert (decided.state, Allocation.objects.get().pods) == ("changed", 1)
    assert (decided.payload, decided.decision, decided.reason) == ({"pods": 3}, {"pods": 1}, "it is small")


def test_declining_needs_a_reason(tenant: Tenant, site: Site) -> None:
    request = ask(tenant, site)
    with pytest.raises(Invalid) as refusal:
        approvals.decide(request, person=None, grant=False, reason=" ")
    assert list(refusal.value.errors) == ["reason"]
    assert approvals.decide(request, person=None, grant=False, reason="no room").state == "declined"
    assert not Allocation.objects.exists()


def test_a_decided_or_withdrawn_request_stays_so(tenant: Tenant, site: Site) -> None:
    request = ask(tenant, site)
    approvals.withdraw(request, person=None)
    with pytest.raises(Conflict, match="withdrawn by the requester"):
        approvals.decide(request, person=None, grant=True)
    with pytest.raises(Conflict):
        approvals.withdraw(request, person=None)


def test_an_extension_changes_the_allocation_that_it_names(tenant: Tenant, site: Site) -> None:
    allocation = make_allocation(tenant, site, pods=1, cpus=7)
    request = ask(tenant, site, "extension", subject=allocation.pk, payload={"pods": 9})
    approvals.decide(request, person=None, grant=True)
    allocation.refresh_from_db()
    assert (allocation.pods, allocation.cpus) == (9, 7)


def test_an_invalid_request_is_refused_with_a_sentence(tenant: Tenant, site: Site) -> None:
    theirs = make_allocation(make_tenant(), site)
    wrong: dict[str, dict[str, Any]] = {
        "kind": {"kind": "moon"},
        "pods": {"payload": {"pods": -3}},
        "site": {"site": None},
        "subject": {"kind": "extension", "subject": theirs.pk},
    }
    for field, fields in wrong.items():
        with pytest.raises(Invalid) as refusal:
            ask(tenant, fields.pop("site", site), **fields)
        assert list(refusal.value.errors) == [field]
    assert not ApprovalRequest.objects.exists()


def test_a_grant_that_cannot_be_carried_out_decides_nothing(tenant: Tenant, site: Site) -> None:
    request = ask(tenant, site)
    with pytest.raises(Invalid):
        approvals.decide(request, person=None, grant=True, payload={"pods": "many"})
    request.refresh_from_db()
    assert request.state == "open"


def test_the_same_request_cannot_be_open_twice(tenant: Tenant, site: Site) -> None:
    ask(tenant, site)
    with pytest.raises(Conflict, match="open already"):
        ask(tenant, site)
    make_allocation(tenant, site)
    with pytest.raises(Conflict, match="extension"):
        ask(tenant, site, payload={"pods": 4})


@pytest.mark.django_db(transaction=True)
def test_of_two_simultaneous_decisions_one_counts(tenant: Tenant, site: Site) -> None:
    request = ask(tenant, site)
    outcomes: list[str] = []

    def decide(*, grant: bool) -> None:
        try:
            outcomes.append(approvals.decide(request, person=None, grant=grant, reason="so").state)
        except Conflict:
            outcomes.append("conflict")
        finally:
            connections.close_all()

    at_once(lambda: decide(grant=True), lambda: decide(grant=False), lambda: decide(grant=True))
    assert outcomes.count("conflict") == 2
    assert Event.objects.filter(verb__in=["request.grant", "request.decline"]).count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_site_operator_decides_for_a_tenant_whose_rows_it_does_not_see(
    tenant: Tenant, site: Site, database_urls: dict[str, str]
) -> None:
    request = ask(tenant, site)
    make_node(tenant=tenant, routed=False)
    with as_role(database_urls["web"]), seeing(site_slugs=[site.slug]):
        assert not VirtualNode.objects.exists()
        approvals.decide(request, person=None, grant=True)
    assert Allocation.objects.get().tenant == tenant
