"""/pinglink: a node's size from our own rows, and what is answered during outages."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from controlplane import remembered
from controlplane.tenants.models import Tenant
from jobs.interlink import ping
from sites.models import Allocation, Partition, Site
from tests.factories import make_allocation, make_node, make_site
from tests.wire import call

if TYPE_CHECKING:
    from controlplane.tenants.models import VirtualNode

pytestmark = pytest.mark.django_db
GIB = 2**30
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def test_a_node_has_the_size_of_the_partitions_that_are_up() -> None:
    site = make_site()
    make_partition(site, "cpu", cpus=64, memory=256 * GIB)
    make_partition(site, "gpu", cpus=32, memory=128 * GIB, gpus={"a100": 8, "": 2})
    make_partition(site, "down", cpus=1000, memory=1000 * GIB, up=False)
    _, token = make_node(site=site)
    answer = call("POST", "/pinglink", token=token)
    assert answer.status == 200
    assert answer.json == {
        "status": "ok",
        "resources": {
            "cpu": "96",
            "memory": "384Gi",
            "pods": "1000",
            "accelerators": [{"resourceType": "nvidia.com/gpu", "available": "10"}],
        },
    }


def test_the_nodes_own_figures_win() -> None:
    site = make_site()
    make_partition(site, "cpu", cpus=64, memory=256 * GIB, gpus={"a100": 8})
    accelerators = {"amd.com/gpu": 2, "nvidia.com/gpu": 4}
    node, _ = make_node(site=site, cpus=16, memory=GIB // 2, pods=7, accelerators=accelerators)
    assert size(node) == {
        "cpu": "16",
        "memory": "512Mi",
        "pods": "7",
        "accelerators": [
            {"resourceType": "amd.com/gpu", "available": "2"},
            {"resourceType": "nvidia.com/gpu", "available": "4"},
        ],
    }


def test_a_disabled_node_is_drained_with_zeros_for_all_its_resources() -> None:
    site = make_site()
    make_partition(site, "gpu", cpus=64, memory=GIB, gpus={"a100": 8})
    _, token = make_node(site=site, enabled=False)
    answer = call("POST", "/pinglink", token=token).json["resources"]
    assert (answer["cpu"], answer["memory"], answer["pods"]) == ("0", "0", "0")
    assert answer["accelerators"] == [{"resourceType": "nvidia.com/gpu", "available": "0"}]


@pytest.mark.parametrize("site", [{}, {"enabled": False}])
def test_a_site_with_unknown_capacity_drains_no_node(site: dict[str, Any]) -> None:
    node, _ = make_node(site=make_site(**site))
    assert "0" not in (size(node)["cpu"], size(node)["memory"], size(node)["pods"])


def test_a_site_that_is_silent_draining_or_down_drains_no_node() -> None:
    now = timezone.now()
    site = make_site(enabled=False, silent_since=now, next_probe_at=now)
    make_partition(site, "down", cpus=64, memory=GIB, up=False)
    node, _ = make_node(site=site)
    assert (size(node)["cpu"], size(node)["memory"]) == ("64", "1Gi")


def test_a_node_without_a_route_is_not_drained() -> None:
    assert size(make_node(routed=False)[0])["cpu"] != "0"


def test_a_node_is_no_larger_than_its_tenants_allocation() -> None:
    site = make_site()
    make_partition(site, "cpu", cpus=64, memory=256 * GIB)
    make_partition(site, "gpu", cpus=32, memory=128 * GIB, gpus={"A100": 8, "v100": 4, "": 2})
    node, _ = make_node(site=site)
    make_allocation(node.tenant, site, cpus=80, pods=5000, gpus={"a100": 3, "": 8})
    shape = size(node)
    assert (shape["cpu"], shape["memory"], shape["pods"]) == ("80", "384Gi", "5000")
    assert shape["accelerators"] == [{"resourceType": "nvidia.com/gpu", "available": "8"}]
    make_allocation(node.tenant, site, gpus={"a100": 3}, partitions=["gpu"], memory=GIB)
    shape = size(node)
    assert (shape["cpu"], shape["memory"]) == ("32", "1Gi")
    assert shape["accelerators"] == [{"resourceType": "nvidia.com/gpu", "available": "9"}]


def test_a_nodes_own_figures_are_limited_by_the_allocation() -> None:
    own: dict[str, Any] = {"cpus": 64, "memory": 4 * GIB, "pods": 100, "accelerators": {"nvidia.com/gpu": 8}}
    node, _ = make_node(site=make_site(), **own)
    make_allocation(node.tenant, node.route.site, cpus=16, memory=GIB, pods=7, gpus={"": 2})
    shape = size(node)
    assert (shape["cpu"], shape["memory"], shape["pods"]) == ("16", "1Gi", "7")
    assert shape["accelerators"] == [{"resourceType": "nvidia.com/gpu", "available": "2"}]


def test_with_unknown_capacity_the_allocation_gives_the_size() -> None:
    node, _ = make_node(site=make_site())
    make_allocation(node.tenant, node.route.site, cpus=4000, memory=GIB, gpus={"a100": 4})
    shape = size(node)
    assert (shape["cpu"], shape["memory"]) == ("4000", "1Gi")
    assert shape["accelerators"] == [{"resourceType": "nvidia.com/gpu", "available": "4"}]


@pytest.mark.parametrize(
    ("fields", "is_drained"),
    [
        ({"enabled": False}, True),
        ({"valid_from": LONG_AGO, "valid_until": LONG_AGO + timedelta(days=1)}, True),
        ({"valid_from": LONG_AGO + timedelta(days=9999)}, False),
        ({"pods": 10, "used_pods": 10, "cpu_hours": 1, "spent_cpu_seconds": 9999}, False),
    ],
)
def test_only_an_ended_allocation_drains_a_node(fields: dict[str, Any], is_drained: bool) -> None:  # noqa: FBT001  (a parameter of cases)
    node, _ = make_node()
    make_allocation(node.tenant, node.route.site, **fields)
    assert (size(node)["pods"] == "0") is is_drained


def test_a_missing_allocation_does_not_drain_a_node_and_a_disabled_tenant_does() -> None:
    node, _ = make_node()
    Allocation.objects.all().delete()
    assert size(node)["cpu"] != "0"
    Tenant.objects.update(enabled=False)
    assert size(node)["cpu"] == "0"


def test_a_ping_takes_two_statements(django_assert_num_queries: Any) -> None:
    node, _ = make_node()
    with django_assert_num_queries(2):
        ping.body(node.pk)


@given(st.integers(1, 2**60))
def test_memory_is_written_without_rounding(memory: int) -> None:
    text = ping.kubernetes_quantity(memory)
    for unit, factor in (("Ti", 2**40), ("Gi", 2**30), ("Mi", 2**20), ("Ki", 2**10)):
        if text.endswith(unit):
            assert int(text.removesuffix(unit)) * factor == memory
            return
    assert int(text) == memory


def test_the_last_answer_is_kept_for_its_token_only_and_for_a_limited_time(settings: Any) -> None:
    ping.remember(b"a", b"text")
    assert ping.recall(b"a") == b"text"
    assert ping.recall(b"b") is None
    settings.INTERLINK_PING_MEMORY = 0
    ping.remember(b"a", b"text")
    assert ping.recall(b"a") is None


def test_another_process_finds_the_last_answer_in_redis() -> None:
    ping.remember(b"shared", b"text")
    remembered.forget_everything()
    assert ping.recall(b"shared") == b"text"


def test_without_redis_a_ping_takes_hardly_longer(settings: Any) -> None:
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1"}}
    assert ping_takes() < 0.5


def test_with_a_redis_that_never_answers_a_ping_takes_little_longer(settings: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        address = f"redis://127.0.0.1:{mute.getsockname()[1]}"
        settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": address}}
        assert ping_takes() < 1.5


def ping_takes() -> float:
    """Return the seconds that a ping takes."""
    _, token = make_node()
    began = time.monotonic()
    assert call("POST", "/pinglink", token=token).status == 200
    return time.monotonic() - began


def size(node: VirtualNode) -> dict[str, Any]:
    resources: dict[str, Any] = json.loads(ping.body(node.pk))["resources"]
    return resources


def make_partition(site: Site, name: str, **fields: Any) -> Partition:
    return Partition.objects.create(site=site, name=name, nodes=1, seen_at=timezone.now(), **fields)
