"""Workload -> `#SBATCH` lines. Pure. What a pod says by its native flags wins over what follows from its resources."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sites.workload import Workload

MEBIBYTE = 1024 * 1024


def header(workload: Workload, *, partition: str = "", requeue: bool = False, extra: Sequence[str] = ()) -> list[str]:
    """The lines after the shebang. partition: the site's default; extra: the operator's own options, before all others.

    --export=NONE: nothing of our login's environment reaches the job. Output is appended to, so that a requeued run
    keeps its predecessor's.
    """
    fixed = ["--export=NONE", "--output=batch.out", "--open-mode=append", "--requeue" if requeue else "--no-requeue"]
    named = [f"--job-name=isthmus-{workload.key}", f"--comment={comment(workload)}"]
    return [f"#SBATCH {option}" for option in (*extra, *named, *fixed, *_size(workload, partition))]


def _size(workload: Workload, default_partition: str) -> list[str]:
    flags, wishes = workload.flags, workload.resources
    limit = min(filter(None, (flags.time_limit, workload.time_limit)), default=0)
    memory = flags.memory or wishes.memory
    gpus = ":".join(filter(None, ("gpu", wishes.gpu_kind, str(wishes.gpus)))) if wishes.gpus else ""
    options = {
        "time": -(-limit // 60),
        "partition": flags.partition or default_partition,
        "qos": workload.qos,
        "nodes": flags.nodes or 1,
        "ntasks": flags.ntasks or (1 if flags.nodes is None else 0),
        # Where the pod counts tasks itself, its cores cannot be guessed for each of them.
        "cpus-per-task": flags.cpus_per_task or (wishes.cpus if flags.ntasks is None else 0),
        "mem": f"{-(-memory // MEBIBYTE)}M" if memory else "",
        "gres": flags.gres or gpus,
    }
    return [f"--{name}={value}" for name, value in options.items() if value]


def comment(workload: Workload) -> str:
    """For the site's people. Only letters that no shell, no scheduler and no accounting database minds."""
    return re.sub(r"[^A-Za-z0-9._/:-]", "_", workload.flags.comment or workload.pod)[:200]
