"""What a flavor means for a pod: it fills in what the pod leaves open, and bounds what it asks for. Pure."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from controlplane.errors import Refused
from sites.manifest import demand

if TYPE_CHECKING:
    from sites.manifest import PodRequest
    from sites.models import Flavor


def filled_in(pod: PodRequest, flavor: Flavor | None, *, site: str) -> PodRequest:
    """The pod with its flavor's figures where it has none of its own. Refused: unknown at this site, or too large.

    A pod without a time limit gets the flavor's, else the longest that the flavor allows, if it names one.
    """
    if not pod.flavor:
        return pod
    if flavor is None:
        raise Refused(f"{site} has no flavor {pod.flavor}: choose one of those that it offers.")
    counts_itself = pod.flags.ntasks is not None or pod.flags.cpus_per_task is not None
    wishes = replace(
        pod.resources,
        cpus=pod.resources.cpus or (0 if counts_itself else flavor.cpus or 0),
        memory=pod.resources.memory or flavor.memory or 0,
        gpus=pod.resources.gpus or flavor.gpus or 0,
    )
    filled = replace(
        pod,
        resources=wishes,
        flags=replace(pod.flags, partition=pod.flags.partition or flavor.partition or None),
        time_limit=pod.time_limit or flavor.time_limit or flavor.largest_time_limit,
    )
    _refuse_larger(filled, flavor)
    return filled


def _refuse_larger(pod: PodRequest, flavor: Flavor) -> None:
    asked = demand(pod)
    for what, wanted, most in (
        ("CPUs", asked.cpus, flavor.largest_cpus),
        ("bytes of memory", asked.memory, flavor.largest_memory),
        ("seconds", pod.time_limit or 0, flavor.largest_time_limit),
    ):
        if most is not None and wanted > most:
            raise Refused(f"The pod asks for {wanted} {what}; the flavor {flavor.name} allows {most} at most.")
