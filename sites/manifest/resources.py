"""What a pod asks for: requests and limits of its containers, summed up by Kubernetes' own rule."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from controlplane.errors import Refused
from sites.manifest.quantities import parse_quantity
from sites.manifest.shape import mapping
from sites.workload import Resources

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Amounts = Mapping[str, Fraction]

# Which maker's GPU it is does not pick a kind: at a site, kinds are models (a100), and its partitions decide the maker.
GPUS = frozenset({"nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe"})
IGNORED = frozenset({"ephemeral-storage"})
LARGEST = 2**62


def pod_resources(
    containers: Sequence[Mapping[str, object]], init_containers: Sequence[Mapping[str, object]]
) -> Resources:
    """Containers run together and are added up; init containers run alone, so each needs only to fit.

    A figure of 0 is one that the pod leaves open.
    """
    wanted = _sum(_amounts(container, f"pod.spec.containers[{i}]") for i, container in enumerate(containers))
    for index, container in enumerate(init_containers):
        alone = _amounts(container, f"pod.spec.initContainers[{index}]")
        wanted = {name: max(wanted.get(name, Fraction()), alone.get(name, Fraction())) for name in {*wanted, *alone}}
    _refuse_unknown(wanted)
    return Resources(
        cpus=ceil(wanted.get("cpu", 0)),
        memory=ceil(wanted.get("memory", 0)),
        gpus=sum(ceil(amount) for name, amount in wanted.items() if name in GPUS),
    )


def _amounts(container: Mapping[str, object], place: str) -> Amounts:
    """Per resource the limit, else the request: a batch system gives what is asked for, and takes back what is over."""
    resources = mapping(container.get("resources"), f"{place}.resources")
    requests = mapping(resources.get("requests"), f"{place}.resources.requests")
    limits = mapping(resources.get("limits"), f"{place}.resources.limits")
    return {
        name: parse_quantity(value, f"{place}.resources: {name}")
        for name, value in {**requests, **limits}.items()
        if value is not None
    }


def _sum(amounts: Iterable[Amounts]) -> Amounts:
    total: dict[str, Fraction] = {}
    for each in amounts:
        for name, amount in each.items():
            total[name] = total.get(name, Fraction()) + amount
    return total


def _refuse_unknown(wanted: Amounts) -> None:
    for name, amount in wanted.items():
        if amount and name not in {"cpu", "memory", *GPUS, *IGNORED}:
            raise Refused(f"The resource {name} cannot be given here; remove it from the pod's requests and limits.")
        if amount > LARGEST:
            raise Refused(f"The pod asks for more {name} than any site has.")
    makers = sorted(name for name in GPUS if wanted.get(name))
    if len(makers) > 1:
        raise Refused(f"The pod asks for GPUs of several makers ({', '.join(makers)}), which no node has; keep one.")
