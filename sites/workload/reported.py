"""What a site reports about its jobs and partitions. Frozen dataclasses without Django, for every connector."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


class Phase(StrEnum):
    """The state of a batch job, as its site reports it."""

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
    """One container, as its outcome files describe it. Times are aware and in UTC. restart: requeues of the job."""

    name: str
    started_at: datetime | None = None
    ended_at: datetime | None = None
    exit_code: int | None = None
    restart: int = 0


@dataclass(frozen=True)
class Report:
    """What a site reports about one job now.

    phase: the site's state of the batch job, mapped. reason: one CamelCase word (`OOMKilled`, `DeadlineExceeded`,
    `Resources`), or empty. message: a sentence for people, or empty. exit_code: what Kubernetes users expect if the
    site ended the job (137: out of memory or node lost, 124: time limit, 143: cancelled or preempted); None: the
    containers' own exit codes count. containers: those with news, possibly fewer than the pod has; each report replaces
    the earlier report of that container. started_at, ended_at, cpus, gpus, nodes: the site's figures for usage, None if
    it does not know them (yet). events: tokens that the caller passes as `recorded` to the next poll, after it has
    stored this report.
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
    """One partition (queue), as its site reports it. memory: bytes. time_limit: seconds, None without a limit.

    nodes, cpus, memory, gpus: over all its nodes; gpus: pairs of kind and number, with "" if the site names no kind.
    up: whether the partition takes jobs now.
    """

    name: str
    nodes: int
    cpus: int
    memory: int
    gpus: tuple[tuple[str, int], ...] = ()
    time_limit: int | None = None
    default: bool = False
    up: bool = True
