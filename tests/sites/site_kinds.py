"""The sites for the connector contract's tests, and how each learns what its batch jobs must do."""

from __future__ import annotations

import os
import pwd
import secrets
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from sites.connections import folder_for, open_connector
from sites.connectors.base import Rejected
from sites.connectors.memory.job import Behaviour
from sites.connectors.memory.site import memory_site
from sites.workload import Container, Demand, JobRef, Phase, Workload
from tests.backends import control
from tests.sites.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sites.connectors.base import Connector
    from sites.connectors.memory.site import MemorySite
    from tests.backends.control import Backends

BASE = ".isthmus-contract/jobs"


@dataclass(frozen=True)
class Task:
    """What one container does: a shell command for a real site, and its outcome for the in-memory one."""

    shell: str
    log: bytes = b""
    exit_code: int = 0
    lasts: float = 0.0

    def container(self, name: str) -> Container:
        return Container(name, "busybox:1.36", command=("/bin/sh", "-c", self.shell))


SAYS_HELLO = Task("echo hello; echo world >&2", b"hello\nworld\n")
FAILS_WITH_3 = Task("echo about to fail; exit 3", b"about to fail\n", exit_code=3)
RUNS_LONG = Task("echo working; sleep 600", b"working\n", lasts=600.0)


@dataclass
class SiteKind:
    """A site under test, as its operator has set it up. `workload` makes what it runs, `tidy` removes it."""

    kind: str
    config: dict[str, Any]
    secret: str = field(default="", repr=False)
    untidy: list[JobRef] = field(default_factory=list)
    real = True  # it really runs its workloads
    mounts = True  # and it runs containers

    def __post_init__(self) -> None:
        self.connector = self.reopened()

    def workload(self, init: Mapping[str, Task] | None = None, **containers: Task) -> Workload:
        """Return one pod with a new key and these containers, `main=SAYS_HELLO` by default."""
        key = secrets.token_hex(16)
        tasks = containers or {"main": SAYS_HELLO}
        workload = Workload(
            key=key,
            folder=folder_for(self.kind, self.config, key),
            pod=f"contract/{key}",
            containers=tuple(task.container(name) for name, task in tasks.items()),
            init_containers=tuple(task.container(name) for name, task in (init or {}).items()),
        )
        self.untidy.append(self.ref(workload))
        self.prepare(workload, {**(init or {}), **tasks})
        return workload

    def ref(self, workload: Workload, native_id: object = "") -> JobRef:
        """Return a reference as the control plane stores it. Without a native id it stays unknown."""
        known = native_id if isinstance(native_id, str) else ""
        return JobRef(workload.key, known, workload.folder, workload.account, workload.pod)

    def start(self, *workloads: Workload) -> list[JobRef]:
        """Submit all of them in one call, which must accept each."""
        answers = self.connector.submit(workloads)
        assert all(isinstance(answers[workload.key], str) for workload in workloads), answers
        return [self.ref(workload, answers[workload.key]) for workload in workloads]

    def prepare(self, workload: Workload, tasks: Mapping[str, Task]) -> None:
        """Tell an in-memory site what these containers do; a real site runs them."""

    def waiting(self) -> Workload | None:
        """Return a workload that the site accepts and never starts, or None if there is no such workload."""
        return None

    def impossible(self) -> Workload | None:
        """Return a workload that the site refuses, or None if it refuses none."""
        return None

    def unreachable(self) -> Connector | None:
        """Return a connector whose site does not answer, or None if the site cannot be unreachable."""
        return None

    def reopened(self) -> Connector:
        """Return another connector to the same site, as a new worker would open it."""
        return open_connector(self.kind, self.config, self.secret)

    def batch_jobs(self, key: str) -> int:
        """Return how many batch jobs the site ever started for this key, without asking the connector."""
        raise NotImplementedError

    def tidy(self, *keep: str) -> None:
        """End and remove all jobs except these keys, to make room for the next test."""
        refs = [ref for ref in self.untidy if ref.key not in keep]
        self.untidy = [ref for ref in self.untidy if ref.key in keep]
        found = self.connector.find(refs)
        ours = [replace(ref, native_id=str(found[ref.key])) for ref in refs if isinstance(found.get(ref.key), str)]
        self.connector.cancel(ours)
        Watch(self.connector, ours).until_ended()
        self.connector.clean(refs)


class MemoryKind(SiteKind):
    """The in-memory site, told what each pod's batch job does."""

    real = mounts = False

    @property
    def site(self) -> MemorySite:
        return memory_site(self.config["name"])

    def prepare(self, workload: Workload, tasks: Mapping[str, Task]) -> None:
        behaviour = Behaviour(
            starts_after=0.0,
            runs_for=max(task.lasts for task in tasks.values()),
            exit_codes={name: task.exit_code for name, task in tasks.items()},
            logs={name: task.log for name, task in tasks.items()},
        )
        self.site.behave(behaviour, pod=workload.pod)

    def waiting(self) -> Workload:
        workload = self.workload()
        self.site.behave(Behaviour(), pod=workload.pod)
        return workload

    def impossible(self) -> Workload:
        workload = self.workload()
        self.site.refuse(Rejected("There is no partition nowhere.", reason="InvalidPartition"), pod=workload.pod)
        return workload

    def unreachable(self) -> Connector:
        silent = memory_site(f"{self.site.name}-silent")
        silent.go_silent()
        return open_connector("memory", {"name": silent.name})

    def batch_jobs(self, key: str) -> int:
        return self.site.submissions.get(key, 0)


class LocalKind(SiteKind):
    """Processes of this host, without containers, at most four at a time."""

    mounts = False

    def waiting(self) -> Workload:
        """Return the first workload that finds no free slot."""
        slots = self.start(*(self.workload(main=RUNS_LONG) for _ in range(self.config["slots"])))
        Watch(self.connector, slots).until_phase(Phase.RUNNING)
        return self.workload(main=RUNS_LONG)

    def batch_jobs(self, key: str) -> int:
        """Count distinct processes: those that run in the attempt's folder, and the one recorded there."""
        folder = Path(pwd.getpwnam(self.config["user"]).pw_dir, BASE, key)
        pids = {process.pid for process in psutil.process_iter() if _works_in(process, folder)}
        if (folder / "batch.started").exists():
            pids.add(int((folder / "native_id").read_text().partition(".")[0]))
        return len(pids)


def _works_in(process: psutil.Process, folder: Path) -> bool:
    """Return whether this is a job's first process. Its forks look the same until they exec, but lead no session."""
    try:
        is_job = any("local_job.sh" in word for word in process.cmdline()[:2])
        return is_job and process.cwd() == str(folder) and os.getsid(process.pid) == process.pid
    except (psutil.Error, ProcessLookupError):
        return False


@dataclass
class SlurmKind(SiteKind):
    """A real Slurm whose containers charliecloud runs; over SSH or with commands on this host."""

    backends: Backends | None = None

    def waiting(self) -> Workload:
        return replace(self.workload(), demand=Demand(partition="closed"))

    def impossible(self) -> Workload:
        return replace(self.workload(), demand=Demand(partition="nowhere"))

    def unreachable(self) -> Connector | None:
        """Return the same site over SSH at a port where nothing listens."""
        if "ssh" not in self.config:
            return None
        nobody = {**self.config["ssh"], "port": 9}
        nobody["host_key"] = nobody["host_key"].partition(" ")[2]  # without the host name, which has the other port
        return open_connector(self.kind, {**self.config, "ssh": nobody}, self.secret)

    def batch_jobs(self, key: str) -> int:
        assert self.backends is not None
        return sum(number for name, number in control.batch_jobs(self.backends).items() if key in name)
