"""Quantities and a pod's total demand, by Kubernetes' own rules."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from controlplane.errors import BadRequest
from sites import policy
from sites.manifest import parse
from sites.manifest.resources import PodResources, parse_quantity
from sites.workload import Demand
from tests.sites.bodies import body, container


@pytest.mark.parametrize(
    ("written", "number"),
    [
        ("500m", "1/2"),
        ("1.5", "3/2"),
        (".5", "1/2"),
        ("2.", 2),
        ("+1", 1),
        ("1e3", 1000),
        ("12E2", 1200),
        ("1k", 1000),
        ("100M", 10**8),
        ("1E", 10**18),
        ("1Ki", 1024),
        ("2Gi", 2 << 30),
        ("100n", "1/10000000"),
        ("128974848", 128974848),
        (3, 3),
        (0.5, "1/2"),
    ],
)
def test_quantities_mean_what_they_mean_in_kubernetes(written: object, number: str | int) -> None:
    assert parse_quantity(written, "cpu") == Fraction(number)


@pytest.mark.parametrize(
    "written", ["", "1K", "1 Gi", "1e999", "1e", "-1", "one", "0x10", "1Gi1", True, None, [], "9" * 40, "\u0661"]
)
def test_an_invalid_quantity_is_a_bad_request(written: object) -> None:
    with pytest.raises(BadRequest, match="cpu is not a quantity"):
        parse_quantity(written, "cpu")


def asking(name: str = "main", **limits: str) -> dict[str, Any]:
    return container(name=name, resources={"limits": limits})


def test_containers_are_added_up_and_cores_rounded_up_once() -> None:
    pod = parse(body(asking("a", cpu="500m", memory="1Gi"), asking("b", cpu="700m", memory="1Ki")))
    assert pod.resources == PodResources(cpus=2, memory=(1 << 30) + 1024)


def test_an_init_container_only_has_to_fit() -> None:
    init = [asking("i", cpu="3", memory="1Mi"), asking("j", cpu="1", memory="5Mi")]
    assert parse(body(asking("a", cpu="2", memory="2Mi"), initContainers=init)).resources == PodResources(
        cpus=3, memory=5 << 20
    )


def test_a_request_counts_if_there_is_no_limit() -> None:
    resources = {"requests": {"cpu": "3", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
    assert parse(body({"resources": resources})).resources == PodResources(cpus=3, memory=2 << 30)


def test_a_pod_without_resources_gets_one_core_and_the_sites_memory() -> None:
    pod = parse(body())
    assert pod.resources == PodResources(cpus=0, memory=0, gpus=0)
    assert policy.requested(pod) == Demand(cpus_per_task=1, memory_per_node=0)


def test_gpus_of_any_maker_are_counted() -> None:
    limits = {"resources": {"limits": {"nvidia.com/gpu": "2", "ephemeral-storage": "1Gi", "example.com/fpga": "0"}}}
    assert parse(body({"name": "a", **limits}, {"name": "b", **limits})).resources.gpus == 4
