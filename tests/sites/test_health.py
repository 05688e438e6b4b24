"""The circuit breaker of one site, and its connector."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from jobs.worker.probe import record_partitions
from sites import connections, health
from sites.connectors.base import Unreachable
from sites.models import Partition, Site
from sites.workload import PartitionReport
from tests.factories import make_site

pytestmark = pytest.mark.django_db

NOW = timezone.now()


def test_silence_begins_once_with_the_sites_message() -> None:
    site = make_site()
    assert health.silent(site, "No route to host.", now=NOW)
    assert not health.silent(site, "Still none.", now=NOW + timedelta(minutes=1))
    assert (site.silent_since, site.silence, site.failures) == (NOW, "Still none.", 2)


def test_an_answer_ends_the_silence() -> None:
    site = make_site()
    health.silent(site, "No route to host.", now=NOW)
    assert health.answered(site, now=NOW)
    site.refresh_from_db()
    assert (site.silent_since, site.next_probe_at, site.silence) == (None, None, "")
    assert not health.answered(site, now=NOW)


def test_a_long_good_time_resets_the_back_off() -> None:
    site = make_site()
    for _ in range(5):
        health.silent(site, "Away.", now=NOW)
    health.answered(site, now=NOW)
    health.silent(site, "Away.", now=NOW + timedelta(hours=1))
    assert site.failures == 1


def test_a_relapse_continues_the_back_off() -> None:
    site = make_site()
    for _ in range(5):
        health.silent(site, "Away.", now=NOW)
    health.answered(site, now=NOW)
    health.silent(site, "Away.", now=NOW + timedelta(seconds=10))
    assert site.failures == 6


def test_health_does_not_count_as_a_change_of_the_site() -> None:
    site = make_site()
    changed = site.changed_at
    health.silent(site, "Away.", now=NOW)
    health.answered(site, now=NOW)
    site.refresh_from_db()
    assert site.changed_at == changed


@pytest.mark.parametrize(("failures", "most"), [(0, 2), (1, 2), (2, 4), (5, 32), (9, 300), (10_000, 300)])
def test_waits_double_up_to_the_longest_and_are_randomized(failures: int, most: float) -> None:
    waits = {health.delay(failures).total_seconds() for _ in range(50)}
    assert len(waits) > 40
    assert all(most * 0.75 <= wait <= most for wait in waits)


def test_a_connector_is_kept_until_its_site_changes() -> None:
    site = make_site(config={"name": "one"})
    first = connections.connector_for(site)
    assert connections.connector_for(Site.objects.get(pk=site.pk)) is first
    site.config = {"name": "two"}
    site.save()
    assert connections.connector_for(site) is not first
    connections.close_all()


def test_a_credential_opens_only_in_its_own_row() -> None:
    site, other = make_site(), make_site()
    connections.seal_credential(site, "a private key")
    assert connections.credential(site) == "a private key"
    assert b"private" not in bytes(site.credential or b"")
    other.credential = site.credential
    with pytest.raises(Unreachable, match="must set it again"):
        connections.credential(other)


def test_partitions_are_those_that_the_site_named_last() -> None:
    site = make_site()
    record_partitions(site, [_partition("cpu", 10), _partition("gpu", 2)], now=NOW)
    record_partitions(site, [_partition("cpu", 12)], now=NOW)
    assert list(Partition.objects.values_list("name", "nodes")) == [("cpu", 12)]


def _partition(name: str, nodes: int) -> PartitionReport:
    return PartitionReport(name, nodes=nodes, cpus=64 * nodes, memory=nodes << 38, gpus=(("a100", 4),))
