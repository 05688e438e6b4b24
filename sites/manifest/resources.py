"""Adds up the requests and limits of a pod's containers by Kubernetes' rule."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from fractions import Fraction
from math import ceil
from typing import TYPE_CHECKING

from controlplane.errors import BadRequest, Refused
from sites.manifest.shape import mapping

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Amounts = Mapping[str, Fraction]

# The maker of a GPU does not select its kind: at a site, a kind is a model (a100), and the partition decides the maker.
GPUS = frozenset({"nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe"})
IGNORED = frozenset({"ephemeral-storage"})
LARGEST = 2**62

# Digits and exponent are bounded, so that no quantity costs much memory or time.
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
    """What the whole pod requests. cpus: whole cores. memory: bytes. 0: the pod does not name this figure."""

    cpus: int = 0
    memory: int = 0
    gpus: int = 0


def pod_resources(
    containers: Sequence[Mapping[str, object]], init_containers: Sequence[Mapping[str, object]]
) -> PodResources:
    """Return what the pod needs: the sum of its containers, which run together, or the largest init container.

    Raises BadRequest for a malformed quantity, and Refused for a resource or an amount that no site has.
    """
    total: dict[str, Fraction] = defaultdict(Fraction)
    for index, container in enumerate(containers):
        for name, amount in _amounts(container, f"pod.spec.containers[{index}]").items():
            total[name] += amount
    for index, container in enumerate(init_containers):
        for name, amount in _amounts(container, f"pod.spec.initContainers[{index}]").items():
            total[name] = max(total[name], amount)
    _refuse_unknown(total)
    return PodResources(
        cpus=ceil(total["cpu"]),
        memory=ceil(total["memory"]),
        gpus=sum(ceil(amount) for name, amount in total.items() if name in GPUS),
    )


def _amounts(container: Mapping[str, object], place: str) -> Amounts:
    """Return each resource's limit, else its request: a batch system enforces what a job requests as a limit."""
    resources = mapping(container.get("resources"), f"{place}.resources")
    requests = mapping(resources.get("requests"), f"{place}.resources.requests")
    limits = mapping(resources.get("limits"), f"{place}.resources.limits")
    return {
        name: parse_quantity(value, f"{place}.resources: {name}")
        for name, value in {**requests, **limits}.items()
        if value is not None
    }


def _refuse_unknown(total: Amounts) -> None:
    for name, amount in total.items():
        if amount and name not in {"cpu", "memory", *GPUS, *IGNORED}:
            raise Refused(f"The resource {name} is not supported; remove it from the pod's requests and limits.")
        if amount > LARGEST:
            raise Refused(f"The pod asks for more {name} than any site has.")
    makers = sorted(name for name in GPUS if total.get(name))
    if len(makers) > 1:
        raise Refused(f"The pod asks for GPUs of several makers ({', '.join(makers)}), which no node has; keep one.")


def parse_quantity(value: object, place: str) -> Fraction:
    """Parse a quantity into an exact number of at least 0. Raises BadRequest, naming the place, if it is not one."""
    written = str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value
    match = QUANTITY.fullmatch(written) if isinstance(written, str) else None
    if match is None:
        raise BadRequest(f"{place} is not a quantity such as 500m, 2 or 1.5Gi.")
    number, suffix, exponent = match.groups()
    scale = Fraction(10) ** int(exponent) if exponent else MULTIPLES.get(suffix or "", Fraction(1))
    # Fraction reads "1.5" and ".5", but not "1.".
    return Fraction(number.removesuffix(".")) * scale
