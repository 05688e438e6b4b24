from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from controlplane.audit.models import Event
from sites import connections
from sites.models import Allocation, Site
from tests.factories import make_allocation, make_site, make_tenant

if TYPE_CHECKING:
    from django.test import Client

pytestmark = pytest.mark.django_db

NO_PARTITIONS = {"partitions-TOTAL_FORMS": "0", "partitions-INITIAL_FORMS": "0"}


def fields(**changed: Any) -> dict[str, Any]:
    config = {"name": "here"}
    page = {"name": "Here", "slug": "here", "kind": "memory", "config": json.dumps(config), "secret": ""}
    return {**page, "enabled": "on", "poll_interval": "5", **NO_PARTITIONS, **changed}


def test_a_site_is_added_with_its_secret_sealed(operator: Client) -> None:
    operator.post("/admin/hpc_sites/site/add/", fields(secret="a private key\n"))
    site = Site.objects.get(slug="here")
    assert connections.credential(site) == "a private key\n"
    assert b"private" not in bytes(site.credential or b"")


def test_a_configuration_that_no_connector_accepts_is_refused_with_a_sentence(operator: Client) -> None:
    page = operator.post("/admin/hpc_sites/site/add/", fields(config='{"slotz": 4, "name": "here"}'))
    assert "slotz" in page.content.decode()
    assert not Site.objects.exists()


def test_a_secret_is_kept_if_the_field_is_left_empty_and_never_shown(operator: Client) -> None:
    operator.post("/admin/hpc_sites/site/add/", fields(secret="a private key"))
    site = Site.objects.get(slug="here")
    change = f"/admin/hpc_sites/site/{site.pk}/change/"
    operator.post(change, fields(name="Still here"))
    site.refresh_from_db()
    assert (site.name, connections.credential(site)) == ("Still here", "a private key")
    assert "a private key" not in operator.get(change).content.decode()


def test_sites_are_listed_with_their_silence(operator: Client) -> None:
    make_site(name="Vega")
    assert "Vega" in operator.get("/admin/hpc_sites/site/").content.decode()


def allocation(tenant: Any, site: Site, **changed: Any) -> dict[str, Any]:
    page = {
        "tenant": tenant.pk,
        "site": site.pk,
        "enabled": "on",
        "valid_from_0": "2026-01-01",
        "valid_from_1": "00:00",
    }
    page |= {"gpus": '{"a100": 4}', "period": "month", "default_time_limit": "3600", "priority": "0", "pods": "7"}
    return {**page, **changed}


def test_an_allocation_is_given_and_changed_with_audit_events(operator: Client) -> None:
    tenant, site = make_tenant(), make_site()
    operator.post("/admin/hpc_sites/allocation/add/", allocation(tenant, site))
    given = Allocation.objects.get()
    assert (given.tenant, given.pods, given.gpus) == (tenant, 7, {"a100": 4})
    operator.post(f"/admin/hpc_sites/allocation/{given.pk}/change/", allocation(tenant, site, pods="3", gpus="{}"))
    given.refresh_from_db()
    assert (given.pods, given.gpus) == (3, {})
    assert list(Event.objects.order_by("id").values_list("verb", flat=True)) == [
        "allocation.grant",
        "allocation.change",
    ]


def test_an_invalid_allocation_is_refused_at_its_field(operator: Client) -> None:
    site = make_site(shared_account=False)
    make_allocation(make_tenant(), site)
    page = operator.post("/admin/hpc_sites/allocation/add/", allocation(make_tenant(), site, gpus='{"a100": -1}'))
    assert "at least 0" in page.content.decode()
    page = operator.post("/admin/hpc_sites/allocation/add/", allocation(make_tenant(), site))
    assert "Another tenant uses" in page.content.decode()
    assert Allocation.objects.count() == 1
