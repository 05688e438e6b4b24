"""What a pod asks for: requests and limits of its containers, summed up by Kubernetes' own rule."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from controlplane.errors import BadRequest, Refused
from sites.manifest.shape import mapping

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Amounts = Mapping[str, Fraction]

# Which maker's GPU it is does not pick a kind: at a site, kinds are models (a100), and its partitions decide the maker.
GPUS = frozenset({"nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe"})
IGNORED = frozenset({"ephemeral-storage"})
LARGEST = 2**62

# Digits and exponent are bounded so that no quantity can cost memory or time.
QUANTITY = re.compile(r"\+?(\d{1,30}(?:\.\d{0,30})?|\.\d{1,30})(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,2}))?", re.A)

MULTIPLES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 10**3),
    "k": Fraction(10**3),
    **{letter: Fraction(1000**power) for power, letter in enumerate("MGTPE", start=2)},
    **{f"{letter}i": Fraction(1024**power) for power, letter in enumerate("KMGTPE", start=1)},
}


@dataclass(frozen=True)
class PodResources:
    """What the whole pod asks for. cpus: whole cores; memory: bytes. A figure of 0 is one that the pod leaves open."""

    cpus: int = 0
    memory: int = 0
    gpus: int = 0


def pod_resources(
    containers: Sequence[Mapping[str, object]], init_containers: Sequence[Mapping[str, object]]
) -> PodResources:
    """Containers run together and are added up; init containers run alone, so each needs only to fit."""
    wanted = _sum(_amounts(container, f"pod.spec.containers[{i}]") for i, container in enumerate(containers))
    for index, container in enumerate(init_containers):
        alone = _amounts(container, f"pod.spec.initContainers[{index}]")
        wanted = {name: max(wanted.get(name, Fraction()), alone.get(name, Fraction())) for name in {*wanted, *alone}}
    _refuse_unknown(wanted)
    return PodResources(
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


def parse_quantity(value: object, place: str) -> Fraction:
    """An exact number, never negative. BadRequest names the place where it is no quantity."""
    written = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    match = QUANTITY.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise BadRequest(f"{place} is not a quantity such as 500m, 2 or 1.5Gi.")
    number, suffix, exponent = match.groups()
    scale = Fraction(10) ** int(exponent) if exponent else MULTIPLES.get(suffix or "", Fraction(1))
    # Fraction reads "1.5" and ".5", but not "1.".
    return Fraction(number.removesuffix(".")) * scale
