"""Workload -> `#SBATCH` lines. Pure: they say what its demand says."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sites.workload import Workload

MEBIBYTE = 1024 * 1024


def header(workload: Workload, *, requeue: bool = False, extra: Sequence[str] = ()) -> list[str]:
    """The lines after the shebang. extra: the operator's own options, before all others.

    --export=NONE: nothing of our login's environment reaches the job. Output is appended to, so that a requeued run
    keeps its predecessor's.
    """
    fixed = ["--export=NONE", "--output=batch.out", "--open-mode=append", "--requeue" if requeue else "--no-requeue"]
    named = [f"--job-name=isthmus-{workload.key}", f"--comment={comment(workload)}"]
    return [f"#SBATCH {option}" for option in (*extra, *named, *fixed, *_size(workload))]


def _size(workload: Workload) -> list[str]:
    demand = workload.demand
    gpus = [":".join(filter(None, ("gpu", kind, str(number)))) for kind, number in demand.gpus_per_node.items()]
    options = {
        "time": -(-(demand.time_limit or 0) // 60),
        "partition": demand.partition,
        "qos": demand.qos,
        "nodes": demand.nodes,
        "ntasks": demand.tasks,
        "cpus-per-task": demand.cpus_per_task,
        "mem": f"{-(-demand.memory_per_node // MEBIBYTE)}M" if demand.memory_per_node else "",
        "gres": ",".join(filter(None, (*gpus, workload.native.get("gres")))),
    }
    return [f"--{name}={value}" for name, value in options.items() if value]


def comment(workload: Workload) -> str:
    """For the site's people. Only letters that no shell, no scheduler and no accounting database minds."""
    return re.sub(r"[^A-Za-z0-9._/:-]", "_", workload.native.get("job-name") or workload.pod)[:200]
