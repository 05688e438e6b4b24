"""What a site says about what it runs. Frozen, free of Django, known to every connector."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Phase(StrEnum):
    """What a site reports of a batch job."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_end(self) -> bool:
        return self in {Phase.SUCCEEDED, Phase.FAILED, Phase.CANCELLED}


@dataclass(frozen=True)
class ContainerReport:
    """One container as its own outcome files tell it. Times are aware and UTC; restart counts requeues of the job."""

    name: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    restart: int = 0


@dataclass(frozen=True)
class Report:
    """What a site says about one job now.

    phase: the site's own word for the batch job, mapped. reason: one CamelCase word (`OOMKilled`, `DeadlineExceeded`,
    `Resources`), empty when nothing is to be said; message: a sentence for people. exit_code: what Kubernetes users
    expect for a job that the site ended (137 out of memory or node lost, 124 time limit, 143 cancelled or preempted),
    None when the containers' own codes stand. containers: those the site has news of, possibly fewer than the pod has;
    news replaces what was known of that container. started_at, ended_at, cpus, gpus, nodes: the site's own figures
    for usage, None when it does not (yet) know. events: tokens to hand back as `recorded` in the next poll, once this
    report has been written down.
    """

    key: str
    native_id: str
    phase: Phase
    reason: str = ""
    message: str = ""
    exit_code: int | None = None
    containers: tuple[ContainerReport, ...] = ()
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cpus: int | None = None
    gpus: int | None = None
    nodes: int | None = None
    restart: int = 0
    events: tuple[str, ...] = ()


@dataclass(frozen=True)
class PartitionReport:
    """One partition (queue) as its site describes it. memory: bytes; time_limit: seconds, None without a limit.

    gpus: kind -> number over all nodes (kind is empty where the site names none). up: takes jobs now.
    """

    name: str
    nodes: int
    cpus: int
    memory: int
    gpus: tuple[tuple[str, int], ...] = ()
    time_limit: int | None = None
    default: bool = False
    up: bool = True
