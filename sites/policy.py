"""The one place that makes a `Demand`.

`requested` computes it from the pod: its resources, its native flags and its flavor. `granted` adds what the tenant's
allocation and the site decide when the job starts. Later changes of the allocation, the site or the flavor do not
change it.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

from controlplane.errors import Refused
from sites.workload import Demand

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from sites.manifest import PodRequest
    from sites.models import Allocation, Flavor, Partition, Site

COUNT = re.compile(r"(\d{1,9})([kmgtp]?)", re.IGNORECASE | re.ASCII)
LETTERS = "kmgtp"
#: Far more than any site has, and small enough for the columns that store it.
MOST_CPUS = MOST_GPUS = 2**31 - 1
MOST_MEMORY = 2**62


def requested(pod: PodRequest, flavor: Flavor | None = None) -> Demand:
    """Return what the pod requests. The flavor gives each figure that the pod does not name.

    A scheduler runs at least one task on each node. If the pod names a number of tasks, each task gets one core unless
    the pod says how many. `--mem` and `--gres` are for each node. A pod without a time limit gets the flavor's time
    limit, else the longest one that the flavor allows, if any. Raises Refused if the pod requests more than any site
    has, more than the flavor allows, or GPUs of several kinds.
    """
    flags, own = pod.flags, pod.resources
    nodes = flags.nodes or 1
    counts_itself = flags.ntasks is not None
    cpus = 0 if counts_itself else own.cpus or (flavor and flavor.cpus) or 0
    found = Demand(
        nodes=nodes,
        tasks=max(flags.ntasks or 1, nodes),
        cpus_per_task=max(1, flags.cpus_per_task or cpus),
        memory_per_node=flags.memory or own.memory or (flavor and flavor.memory) or 0,
        gpus_per_node=_gpus(pod, flavor),
        time_limit=pod.time_limit or (flavor and (flavor.time_limit or flavor.largest_time_limit)) or None,
        partition=flags.partition or (flavor.partition if flavor else ""),
        flavor=pod.flavor,
    )
    if found.cpus > MOST_CPUS or found.gpus > MOST_GPUS or found.memory > MOST_MEMORY:
        raise Refused("The pod asks for more CPUs, memory or GPUs than any site has.")
    if flavor is not None:
        _refuse_larger(found, flavor)
    return found


def granted(demand: Demand, allocation: Allocation, site: Site, partitions: Collection[Partition]) -> Demand:
    """Return the demand with which the job starts: partition, time limit and QoS are now decided.

    partitions: the site's, as it last reported them; may be empty. The partition is the pod's, else the first that the
    allocation allows, else the site's default. The time limit is the pod's, else the allocation's default, but at most
    the partition's limit: the scheduler would never start a longer job.
    """
    own = _own_partition(site) or next((each.name for each in partitions if each.default), "")
    partition = demand.partition or next(iter(allocation.partitions), "") or own
    named = set(filter(None, partition.split(",")))
    longest = [each.time_limit for each in partitions if each.name in named]
    most = None if None in longest else max((limit for limit in longest if limit is not None), default=None)
    time_limit = demand.time_limit or min(allocation.default_time_limit, most or allocation.default_time_limit)
    return replace(demand, partition=partition, time_limit=time_limit, qos=allocation.qos, is_granted=True)


def _own_partition(site: Site) -> str:
    """The partition that the site's operator has chosen for pods that name none, in one of two settings; else ""."""
    if default := str(site.config.get("default_partition") or "").strip():
        return default
    options = [str(option).partition("=") for option in site.config.get("extra_options") or ()]
    return next((value for name, _, value in options if name == "--partition"), "")


def not_allowed(demand: Demand, allocation: Allocation, *, tenant: str, site: str) -> str:
    """Return a sentence if the allocation does not allow the job's flavor or partition; "" if it allows both."""
    if demand.flavor and allocation.flavors and demand.flavor not in allocation.flavors:
        allowed = ", ".join(allocation.flavors)
        return f"{tenant} may not use the flavor {demand.flavor} at {site}; allowed are: {allowed}."
    others = set(filter(None, demand.partition.split(","))) - set(allocation.partitions)
    if allocation.partitions and others:
        named, allowed = ", ".join(sorted(others)), ", ".join(allocation.partitions)
        return f"{tenant} may not use the partition {named} at {site}; allowed are: {allowed}."
    return ""


def _refuse_larger(demand: Demand, flavor: Flavor) -> None:
    for what, wanted, most in (
        ("CPUs", demand.cpus, flavor.largest_cpus),
        ("bytes of memory", demand.memory, flavor.largest_memory),
        ("seconds", demand.time_limit or 0, flavor.largest_time_limit),
    ):
        if most is not None and wanted > most:
            raise Refused(f"The pod asks for {wanted} {what}; the flavor {flavor.name} allows {most} at most.")


def _gpus(pod: PodRequest, flavor: Flavor | None) -> Mapping[str, int]:
    """Return the GPUs of one node by kind: those of `--gres`, else the pod's or its flavor's under "" (any kind)."""
    found: dict[str, int] = {}
    spelt: dict[str, str] = {}
    for name, *parts in (item.split(":") for item in (pod.flags.gres or "").split(",")):
        if name.lower() == "gpu":
            kind, count = _kind_and_count(parts)
            kind = spelt.setdefault(kind.lower(), kind)
            found[kind] = found.get(kind, 0) + count
    if len(found) > 1:
        raise Refused("The pod asks for GPUs of several kinds by --gres, which is not supported; name one kind only.")
    number = pod.resources.gpus or (flavor and flavor.gpus) or 0
    return found or ({"": number} if number else {})


def _kind_and_count(parts: list[str]) -> tuple[str, int]:
    """Parse what follows `gpu` in `gpu`, `gpu:2`, `gpu:a100`, `gpu:a100:2`. A count may end with a letter: `1k`."""
    if not parts:
        return "", 1
    written = COUNT.fullmatch(parts[-1])
    if written is None:
        if len(parts) > 1:
            raise Refused(f"The number {parts[-1][:60]} of GPUs in --gres is not understood; write it like gpu:a100:2.")
        return parts[0], 1
    factor = 1024 ** (LETTERS.index(written[2].lower()) + 1) if written[2] else 1
    return parts[0] if len(parts) > 1 else "", int(written[1]) * factor
