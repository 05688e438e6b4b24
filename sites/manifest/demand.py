"""What a scheduler will really give to a pod: its resources and its native flags together, over all nodes. Pure.

The same reading as `sites/connectors/slurm/header.py` writes down: `--mem` and `--gres` are for each node, and
`--cpus-per-task` for each task.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from controlplane.errors import Refused

if TYPE_CHECKING:
    from sites.manifest.pod import PodRequest
    from sites.workload import NativeFlags, Resources

COUNT = re.compile(r"(\d{1,9})([kmgtp]?)", re.IGNORECASE | re.ASCII)
LETTERS = "kmgtp"
#: Far beyond any site, and within the columns that keep it.
MOST_CPUS = MOST_GPUS = 2**31 - 1
MOST_MEMORY = 2**62


@dataclass(frozen=True)
class Demand:
    """Over all nodes. memory: bytes, 0 where the pod leaves it to the site; gpu_kind: empty for GPUs of any kind."""

    cpus: int = 1
    memory: int = 0
    gpus: int = 0
    gpu_kind: str = ""


def demand(pod: PodRequest) -> Demand:
    """Raises Refused for more than any site has, and for GPUs of several kinds."""
    flags, wishes = pod.flags, pod.resources
    nodes = flags.nodes or 1
    gpus, kind = _gpus(flags, wishes)
    found = Demand(
        cpus=_cpus(flags, wishes, nodes),
        memory=nodes * (flags.memory or wishes.memory),
        gpus=nodes * gpus,
        gpu_kind=kind,
    )
    if found.cpus > MOST_CPUS or found.gpus > MOST_GPUS or found.memory > MOST_MEMORY:
        raise Refused("The pod asks for more CPUs, memory or GPUs than any site has.")
    return found


def _cpus(flags: NativeFlags, wishes: Resources, nodes: int) -> int:
    """At least one task on each node; where the pod counts tasks itself, one core for each of them."""
    tasks = max(flags.ntasks or 1, nodes)
    each = flags.cpus_per_task or (wishes.cpus if flags.ntasks is None else 0)
    return tasks * max(1, each)


def _gpus(flags: NativeFlags, wishes: Resources) -> tuple[int, str]:
    """GPUs of one node and their kind, in lower case."""
    if not flags.gres:
        return wishes.gpus, wishes.gpu_kind
    found: dict[str, int] = {}
    for item in flags.gres.split(","):
        name, *parts = item.split(":")
        if name.lower() == "gpu":
            kind, count = _kind_and_count(parts)
            found[kind] = found.get(kind, 0) + count
    if len(found) > 1:
        raise Refused("The pod asks for GPUs of several kinds by --gres, which cannot be counted here; keep one kind.")
    return next(((count, kind) for kind, count in found.items()), (0, ""))


def _kind_and_count(parts: list[str]) -> tuple[str, int]:
    """`gpu`, `gpu:2`, `gpu:a100`, `gpu:a100:2`; a count may end with a letter, as in `1k`."""
    if not parts:
        return "", 1
    written = COUNT.fullmatch(parts[-1])
    if written is None:
        if len(parts) > 1:
            raise Refused(f"The number {parts[-1][:60]} of GPUs in --gres is not understood; write it like gpu:a100:2.")
        return parts[0].lower(), 1
    factor = 1024 ** (LETTERS.index(written[2].lower()) + 1) if written[2] else 1
    return parts[0].lower() if len(parts) > 1 else "", int(written[1]) * factor
