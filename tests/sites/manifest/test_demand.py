"""What is counted of a pod is what `#SBATCH` lines ask for."""

from __future__ import annotations

from typing import Any

import pytest

from controlplane.errors import Refused
from sites.manifest import Demand, demand, parse
from sites.models import Flavor
from sites.policy import filled_in
from tests.sites.bodies import body

GIB = 2**30


def asked(flags: str = "", flavor: str = "", **limits: str) -> Any:
    request: Any = body({"name": "main", "image": "busybox", "resources": {"limits": limits}})
    annotations = {"slurm-job.vk.io/flags": flags, "slurm-job.vk.io/flavor": flavor}
    request["pod"]["metadata"]["annotations"] = annotations
    return parse(request)


@pytest.mark.parametrize(
    ("flags", "limits", "expected"),
    [
        ("", {}, Demand(cpus=1)),
        ("", {"cpu": "3", "memory": "2Gi", "nvidia.com/gpu": "2"}, Demand(cpus=3, memory=2 * GIB, gpus=2)),
        ("--ntasks=16 --cpus-per-task=8", {"cpu": "2"}, Demand(cpus=128)),
        ("--ntasks=16", {"cpu": "2"}, Demand(cpus=16)),
        ("--nodes=4 --mem=10G", {}, Demand(cpus=4, memory=40 * GIB)),
        ("--nodes=4", {"cpu": "8", "memory": "1Gi"}, Demand(cpus=32, memory=4 * GIB)),
        ("--nodes=4 --ntasks=2", {}, Demand(cpus=4)),
        ("--nodes=2 --gres=gpu:a100:4", {}, Demand(cpus=2, gpus=8, gpu_kind="a100")),
        ("--gres=gpu:A100:2,license:1", {}, Demand(gpus=2, gpu_kind="a100")),
        ("--gres=gpu", {}, Demand(gpus=1)),
        ("--gres=gpu:3", {}, Demand(gpus=3)),
        ("--gres=gpu:v100", {}, Demand(gpus=1, gpu_kind="v100")),
        ("--gres=gpu:a100:1,gpu:a100:2", {}, Demand(gpus=3, gpu_kind="a100")),
        ("--gres=gpu:a100:1k", {}, Demand(gpus=1024, gpu_kind="a100")),
        ("--nodes=3", {"nvidia.com/gpu": "2"}, Demand(cpus=3, gpus=6)),
        ("--gres=fpga:1", {"nvidia.com/gpu": "2"}, Demand()),
    ],
)
def test_flags_and_resources_are_multiplied_as_the_scheduler_does(
    flags: str, limits: dict[str, str], expected: Demand
) -> None:
    assert demand(asked(flags, **limits)) == expected


@pytest.mark.parametrize("flags", ["--gres=gpu:a100:1,gpu:v100:1", "--gres=gpu:a100:many", "--ntasks=999999 -c 999999"])
def test_what_cannot_be_counted_is_refused(flags: str) -> None:
    with pytest.raises(Refused):
        demand(asked(flags))


def test_a_flavor_fills_in_what_the_pod_leaves_open() -> None:
    flavor = Flavor(name="big", partition="gpu", cpus=8, memory=16 * GIB, gpus=2, time_limit=7200)
    pod = filled_in(asked(flavor="big", cpu="3"), flavor, site="Vega")
    assert demand(pod) == Demand(cpus=3, memory=16 * GIB, gpus=2)
    assert (pod.flags.partition, pod.time_limit) == ("gpu", 7200)


def test_what_the_pod_says_itself_wins_over_its_flavor() -> None:
    flavor = Flavor(name="big", partition="gpu", cpus=8, memory=16 * GIB, gpus=2, time_limit=7200)
    pod = filled_in(asked("--time=10 -p cpu --mem=1G --ntasks=2 --gres=gpu:1", "big"), flavor, site="Vega")
    assert demand(pod) == Demand(cpus=2, memory=GIB, gpus=1)
    assert (pod.flags.partition, pod.time_limit) == ("cpu", 600)


@pytest.mark.parametrize("flags", ["--ntasks=9", "--mem=3G", "--time=61"])
def test_more_than_a_flavor_allows_is_refused_in_words(flags: str) -> None:
    flavor = Flavor(name="small", largest_cpus=8, largest_memory=2 * GIB, largest_time_limit=3600)
    with pytest.raises(Refused, match="the flavor small allows"):
        filled_in(asked(flags, "small"), flavor, site="Vega")


def test_an_unknown_flavor_is_refused_by_name() -> None:
    with pytest.raises(Refused, match="Vega has no flavor huge"):
        filled_in(asked(flavor="huge"), None, site="Vega")


def test_a_flavor_that_is_no_name_is_refused() -> None:
    with pytest.raises(Refused, match=r"slurm-job\.vk\.io/flavor"):
        asked(flavor="a b")
