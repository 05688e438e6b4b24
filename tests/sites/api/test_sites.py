"""/sites: who sees which sites, and which of their details."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from django.utils import timezone

from sites.models import Allocation, Flavor, Partition, Site

if TYPE_CHECKING:
    from tests.federation import Caller, Federation

SINCE = datetime(2026, 11, 25, 9, 14, tzinfo=UTC)


def slugs(caller: Caller) -> list[str]:
    return sorted(site["slug"] for site in caller.get("sites").json["items"])


@pytest.fixture
def fallen_silent(federation: Federation) -> None:
    """Climate has an allocation at Vega, which does not answer."""
    Allocation.objects.create(tenant=federation.climate, site=federation.vega)
    Site.objects.filter(slug="vega").update(
        silent_since=SINCE, silence="login.vega.example: connection refused.", next_probe_at=timezone.now()
    )


@pytest.mark.usefixtures("fallen_silent")
def test_each_role_sees_its_sites(federation: Federation) -> None:
    assert slugs(federation.olga) == slugs(federation.ada) == ["juno", "vega"]
    assert slugs(federation.vera) == ["vega"]
    assert slugs(federation.alice) == slugs(federation.adam) == ["vega"]
    assert slugs(federation.bob) == []
    assert federation.bob.get("sites/vega").status == 404
    assert federation.juna.get("sites/vega").status == 404
    assert federation.nora.get("sites").status == 403


@pytest.mark.usefixtures("fallen_silent")
def test_only_a_sites_operator_reads_why_it_is_silent(federation: Federation) -> None:
    plain = "Vega has not answered since 2026-11-25 09:14 UTC; waiting jobs start when it answers again."
    told = federation.alice.get("sites/vega").json
    assert (told["answering"], told["silent_since"], told["silence"]) == (False, "2026-11-25T09:14:00Z", plain)
    for caller in (federation.vera, federation.olga, federation.ada):
        assert "(login.vega.example: connection refused)" in caller.get("sites/vega").json["silence"]


@pytest.mark.usefixtures("fallen_silent")
def test_a_sites_connection_settings_are_shown_to_nobody(federation: Federation) -> None:
    secret = {"config": {"ssh": {"host": "login.vega.example"}}, "credential": b"hush"}
    Site.objects.filter(slug="vega").update(silent_since=None, next_probe_at=None, silence="", **secret)
    for caller in (federation.alice, federation.vera, federation.olga):
        text = caller.get("sites/vega").text
        assert "login.vega.example" not in text
        assert "hush" not in text


def test_a_site_comes_with_its_partitions_and_flavors(federation: Federation) -> None:
    Partition.objects.create(
        site=federation.vega, name="gpu", nodes=2, cpus=128, memory=2**40, gpus={"a100": 8}, time_limit=3600,
        seen_at=SINCE,
    )  # fmt: skip
    Flavor.objects.create(site=federation.vega, name="one-gpu", partition="gpu", gpus=1)
    told = federation.vera.get("sites/vega").json
    [partition], [flavor] = told["partitions"], told["flavors"]
    assert (partition["name"], partition["gpus"], partition["up"]) == ("gpu", {"a100": 8}, True)
    assert (flavor["name"], flavor["gpus"], flavor["largest_cpus"]) == ("one-gpu", 1, None)


def test_the_list_takes_as_many_statements_for_many_sites_as_for_one(federation: Federation) -> None:
    before = federation.olga.statements("sites")
    for number in range(5):
        site = Site.objects.create(slug=f"more-{number}", name="More", kind="memory")
        Partition.objects.create(site=site, name="main", nodes=1, cpus=1, memory=1, seen_at=SINCE + timedelta(hours=1))
        Flavor.objects.create(site=site, name="small")
    assert len(federation.olga.get("sites").json["items"]) == 7
    assert federation.olga.statements("sites") == before
