"""Workload -> `#SBATCH` lines. Pure."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sites.workload import Workload

MEBIBYTE = 1024 * 1024


def header(workload: Workload, *, requeue: bool = False, extra: Sequence[str] = ()) -> list[str]:
    """Return the lines after the shebang. extra: the operator's own options, which come first.

    --export=NONE keeps the login's environment out of the job. --open-mode=append keeps the output of an earlier run
    when Slurm requeues the job.
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
    """Return a comment for the site's staff, with only those characters that shells and accounting databases accept."""
    return re.sub(r"[^A-Za-z0-9._/:-]", "_", workload.native.get("job-name") or workload.pod)[:200]
