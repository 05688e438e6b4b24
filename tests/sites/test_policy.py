"""What a pod requests, and what it is granted."""

from __future__ import annotations

from typing import Any, NamedTuple

import pytest

from controlplane.errors import Refused
from sites import policy
from sites.manifest import parse
from sites.models import Allocation, Flavor, Partition, Site
from sites.workload import Demand
from tests.sites.bodies import body

GIB = 2**30


class Totals(NamedTuple):
    cpus: int = 1
    memory: int = 0
    gpus: int = 0
    gpu_kind: str = ""


def pod(flags: str = "", flavor: str = "", **limits: str) -> Any:
    request: Any = body({"name": "main", "image": "busybox", "resources": {"limits": limits}})
    annotations = {"slurm-job.vk.io/flags": flags, "slurm-job.vk.io/flavor": flavor}
    request["pod"]["metadata"]["annotations"] = annotations
    return parse(request)


@pytest.mark.parametrize(
    ("flags", "limits", "expected"),
    [
        ("", {}, Totals(cpus=1)),
        ("", {"cpu": "3", "memory": "2Gi", "nvidia.com/gpu": "2"}, Totals(cpus=3, memory=2 * GIB, gpus=2)),
        ("--ntasks=16 --cpus-per-task=8", {"cpu": "2"}, Totals(cpus=128)),
        ("--ntasks=16", {"cpu": "2"}, Totals(cpus=16)),
        ("--nodes=4 --mem=10G", {}, Totals(cpus=4, memory=40 * GIB)),
        ("--nodes=4", {"cpu": "8", "memory": "1Gi"}, Totals(cpus=32, memory=4 * GIB)),
        ("--nodes=4 --ntasks=2", {}, Totals(cpus=4)),
        ("--nodes=2 --gres=gpu:a100:4", {}, Totals(cpus=2, gpus=8, gpu_kind="a100")),
        ("--gres=gpu:A100:2,license:1", {}, Totals(gpus=2, gpu_kind="a100")),
        ("--gres=gpu", {}, Totals(gpus=1)),
        ("--gres=gpu:3", {}, Totals(gpus=3)),
        ("--gres=gpu:v100", {}, Totals(gpus=1, gpu_kind="v100")),
        ("--gres=gpu:a100:1,gpu:A100:2", {}, Totals(gpus=3, gpu_kind="a100")),
        ("--gres=gpu:a100:1k", {}, Totals(gpus=1024, gpu_kind="a100")),
        ("--nodes=3", {"nvidia.com/gpu": "2"}, Totals(cpus=3, gpus=6)),
        ("--gres=fpga:1", {"nvidia.com/gpu": "2"}, Totals(gpus=2)),
        ("--gres=gpu:1", {"nvidia.com/gpu": "2"}, Totals(gpus=1)),
    ],
)
def test_flags_and_resources_are_multiplied_as_the_scheduler_does(
    flags: str, limits: dict[str, str], expected: Totals
) -> None:
    demand = policy.requested(pod(flags, **limits))
    assert Totals(demand.cpus, demand.memory, demand.gpus, demand.gpu_kind) == expected


@pytest.mark.parametrize("flags", ["--gres=gpu:a100:1,gpu:v100:1", "--gres=gpu:a100:many", "--ntasks=999999 -c 999999"])
def test_an_uncountable_demand_is_refused(flags: str) -> None:
    with pytest.raises(Refused):
        policy.requested(pod(flags))


def test_a_flavor_fills_in_what_the_pod_leaves_open() -> None:
    flavor = Flavor(name="big", partition="gpu", cpus=8, memory=16 * GIB, gpus=2, time_limit=7200)
    assert policy.requested(pod(flavor="big", cpu="3"), flavor) == Demand(
        cpus_per_task=3,
        memory_per_node=16 * GIB,
        gpus_per_node={"": 2},
        time_limit=7200,
        partition="gpu",
        flavor="big",
    )


def test_the_pods_own_values_win_over_its_flavor() -> None:
    flavor = Flavor(name="big", partition="gpu", cpus=8, memory=16 * GIB, gpus=2, time_limit=7200)
    found = policy.requested(pod("--time=10 -p cpu --mem=1G --ntasks=2 --gres=gpu:1", "big"), flavor)
    assert found == Demand(
        tasks=2, memory_per_node=GIB, gpus_per_node={"": 1}, time_limit=600, partition="cpu", flavor="big"
    )


@pytest.mark.parametrize("flags", ["--ntasks=9", "--mem=3G", "--time=61"])
def test_more_than_a_flavor_allows_is_refused_with_a_sentence(flags: str) -> None:
    flavor = Flavor(name="small", largest_cpus=8, largest_memory=2 * GIB, largest_time_limit=3600)
    with pytest.raises(Refused, match="the flavor small allows"):
        policy.requested(pod(flags, "small"), flavor)


def test_a_demand_is_read_as_it_was_written_whatever_a_later_release_adds() -> None:
    demand = Demand(nodes=2, tasks=4, gpus_per_node={"a100": 2}, time_limit=60, partition="gpu")
    assert Demand.from_json({**demand.as_json(), "licenses": ["matlab"]}) == demand


QUICK = Partition(name="quick", time_limit=600)
LONG = Partition(name="long", time_limit=None, default=True)


@pytest.mark.parametrize(
    ("asked", "allowed", "config", "granted"),
    [
        (Demand(), [], {}, ("long", 3600)),
        (Demand(), ["quick", "long"], {}, ("quick", 600)),
        (Demand(), [], {"default_partition": "quick"}, ("quick", 600)),
        (Demand(), [], {"extra_options": ["--comment=x", "--partition=quick"]}, ("quick", 600)),
        (Demand(partition="quick"), ["long", "quick"], {"default_partition": "long"}, ("quick", 600)),
        (Demand(partition="quick,long"), [], {}, ("quick,long", 3600)),
        (Demand(partition="quick", time_limit=60), [], {}, ("quick", 60)),
        (Demand(time_limit=86400, partition="quick"), [], {}, ("quick", 86400)),
    ],
)
def test_open_values_are_decided_once(
    asked: Demand, allowed: list[str], config: dict[str, str], granted: tuple[str, int]
) -> None:
    allocation, site = Allocation(partitions=allowed, default_time_limit=3600, qos="high"), Site(config=config)
    found = policy.granted(asked, allocation, site, [QUICK, LONG])
    assert (found.partition, found.time_limit, found.qos, found.is_granted) == (*granted, "high", True)
    assert policy.granted(found, allocation, site, []) == found


def test_an_invalid_flavor_name_is_refused() -> None:
    with pytest.raises(Refused, match=r"slurm-job\.vk\.io/flavor"):
        pod(flavor="a b")
