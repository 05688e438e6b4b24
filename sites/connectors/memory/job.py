"""A simulated batch job in memory, which reports its history as a real site does."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from sites.workload import ContainerReport, Phase, Report

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from sites.workload import Workload


@dataclass(frozen=True)
class Behaviour:
    """What a batch job does by itself. None: it waits for an explicit `start` or `finish`.

    starts_after: seconds from submission to start. runs_for: seconds from start to end. exit_codes: container -> code,
    0 by default. logs: container -> its whole output, which it writes at its start.
    """

    starts_after: float | None = None
    runs_for: float | None = None
    exit_codes: Mapping[str, int] = field(default_factory=dict)
    logs: Mapping[str, bytes] = field(default_factory=dict)


@dataclass
class ContainerRun:
    """One container in the current run. index: pairs of epoch seconds and the size of the log then."""

    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None
    log: bytearray = field(default_factory=bytearray)
    index: list[tuple[int, int]] = field(default_factory=list)

    def write(self, text: bytes, at: datetime) -> None:
        self.log += text
        self.index.append((int(at.timestamp()), len(self.log)))


@dataclass
class BatchJob:
    """One batch job. The site that owns it holds the lock. A change that makes no sense (a second end) does nothing."""

    workload: Workload
    native_id: str
    behaviour: Behaviour
    submitted_at: datetime
    phase: Phase = Phase.PENDING
    reason: str = "Resources"
    message: str = "Waits for free nodes."
    exit_code: int | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    restart: int = 0
    runs: dict[str, ContainerRun] = field(default_factory=dict)
    unrecorded: dict[str, str] = field(default_factory=dict)  # event token -> container
    hidden: bool = False

    def advance(self, now: datetime) -> None:
        """Start or end the job if its behaviour says so, with the times at which that was due."""
        due = self._after(self.submitted_at, self.behaviour.starts_after)
        if self.phase is Phase.PENDING and due is not None and due <= now:
            self.start(due)
        due = self._after(self.started_at, self.behaviour.runs_for)
        if self.phase is Phase.RUNNING and due is not None and due <= now:
            self.finish(due, self.behaviour.exit_codes)

    def start(self, at: datetime) -> None:
        """Start the job. Init containers end at once, in order; one that fails ends the job, else containers start."""
        if self.phase is not Phase.PENDING:
            return
        self.phase, self.started_at, self.reason, self.message = Phase.RUNNING, at, "", ""
        for container in self.workload.init_containers:
            self._start_container(container.name, at)
            code = self.behaviour.exit_codes.get(container.name, 0)
            self._end_container(container.name, at, code)
            if code:
                self.end(Phase.FAILED, at)
                return
        for container in self.workload.containers:
            self._start_container(container.name, at)

    def finish(self, at: datetime, exit_codes: Mapping[str, int]) -> None:
        """End the job's containers with these exit codes, 0 by default, and with them the job."""
        self.start(at)
        if self.phase is not Phase.RUNNING:
            return
        codes = {name: exit_codes.get(name, 0) for name in self._running()}
        for name, code in codes.items():
            self._end_container(name, at, code)
        self.end(Phase.FAILED if any(codes.values()) else Phase.SUCCEEDED, at)

    def end(self, phase: Phase, at: datetime, reason: str = "", message: str = "", code: int | None = None) -> None:
        """End the job from the site's side. Running containers end with `code`; None: they leave no outcome."""
        if self.phase.is_end:
            return
        if code is not None:
            for name in self._running():
                self._end_container(name, at, code)
        self.phase, self.ended_at = phase, at
        self.reason, self.message, self.exit_code = reason, message, code

    def requeue(self) -> None:
        """Put a running job back into the queue, as after the loss of a node. The next run starts from scratch."""
        if self.phase is not Phase.RUNNING:
            return
        self.phase, self.started_at, self.restart = Phase.PENDING, None, self.restart + 1
        self.reason, self.message = "Requeued", "The site put the job back into its queue."
        self.runs.clear()

    def report(self) -> Report:
        news = self.runs.keys() if self.phase.is_end else set(self.unrecorded.values()) & self.runs.keys()
        ran = self.started_at is not None
        return Report(
            key=self.workload.key,
            native_id=self.native_id,
            phase=self.phase,
            reason=self.reason,
            message=self.message,
            exit_code=self.exit_code,
            containers=tuple(
                ContainerReport(name, run.started_at, run.ended_at, run.exit_code, self.restart)
                for name, run in self.runs.items()
                if name in news
            ),
            started_at=self.started_at,
            ended_at=self.ended_at,
            cpus=self.workload.demand.cpus if ran else None,
            gpus=self.workload.demand.gpus if ran else None,
            nodes=self.workload.demand.nodes if ran else None,
            restart=self.restart,
            events=tuple(self.unrecorded),
        )

    def _running(self) -> list[str]:
        return [name for name, run in self.runs.items() if run.ended_at is None]

    def _start_container(self, name: str, at: datetime) -> None:
        run = self.runs[name] = ContainerRun(at)
        run.write(self.behaviour.logs.get(name, b""), at)
        self._note(name, "started", at, "-")

    def _end_container(self, name: str, at: datetime, code: int) -> None:
        run = self.runs[name]
        run.ended_at, run.exit_code = at, code
        self._note(name, "ended", at, str(code))

    def _note(self, name: str, change: str, at: datetime, code: str) -> None:
        """Record an event. Its token looks like an event file of docs/attempt-folder.md; callers do not parse it."""
        token = f"{self.workload.key}.{self.restart}.{name}.{change}.{int(at.timestamp())}.{code}"
        self.unrecorded[token] = name

    @staticmethod
    def _after(since: datetime | None, seconds: float | None) -> datetime | None:
        return None if since is None or seconds is None else since + timedelta(seconds=seconds)
