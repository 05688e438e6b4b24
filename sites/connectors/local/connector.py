"""Runs jobs as processes of this host, for the demo, development, or a workstation without a scheduler.

It runs the same batch scripts as any site, in a limited number of slots. A job does not depend on any worker: it has
its own session, its id consists of pid, start time and boot id, and its folder holds its outcome.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from sites.connectors.base import InDoubt, PollAnswer, Rejected
from sites.connectors.config import Config
from sites.connectors.folder.connector import FolderConnector
from sites.connectors.folder.outcomes import Story, from_epoch, stories
from sites.connectors.folder.protocol import (
    DEFAULT_BASE,
    AttemptFolders,
    batches,
    launch_batch,
    read_base,
    require_success,
)
from sites.connectors.folder.staging import staged_batches
from sites.connectors.shell.local import LocalShell
from sites.connectors.shell.programs import read_program
from sites.script import Runtime, render
from sites.workload import File, JobRef, PartitionReport, Phase, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sites.connectors.base import Submitted
    from sites.connectors.shell.base import Shell
    from sites.script import Staged
    from sites.workload import Workload

_program = partial(read_program, "sites.connectors.local")


@dataclass(frozen=True)
class LocalSettings:
    """The settings of a local site.

    base: the folder of attempts. slots: how many jobs run at a time. user: the user for jobs if the service runs as
    root.
    """

    runtime: Runtime
    base: str = DEFAULT_BASE
    slots: int = 4
    user: str = ""

    @classmethod
    def from_config(cls, values: Mapping[str, object]) -> LocalSettings:
        """Read a site's settings. Raises `BadConfig` with a sentence that says what is wrong."""
        config = Config(values)
        settings = cls(
            runtime=config.runtime("host"),
            base=read_base(config),
            slots=config.number("slots", 4, most=1000),
            user=config.text("user"),
        )
        config.finish()
        return settings


class LocalConnector(FolderConnector):
    """Runs jobs on this host, without a scheduler."""

    def __init__(self, settings: LocalSettings, shell: Shell | None = None) -> None:
        super().__init__(AttemptFolders(shell or LocalShell(settings.user)))
        self._settings = settings

    @classmethod
    def from_config(cls, values: Mapping[str, object], secret: str = "") -> LocalConnector:
        return cls(LocalSettings.from_config(values))

    def submit(self, workloads: Sequence[Workload]) -> dict[str, Submitted]:
        answers: dict[str, Submitted] = {}
        variables = {"slots": self._settings.slots, "lanes": 1}
        staged = ((workload, self._stage(workload)) for workload in workloads)
        for batch in staged_batches(staged, answers):
            for key, launch in launch_batch(self._folders, batch, _program("launch"), variables, answers).items():
                if launch.word == "started":
                    answers[key] = launch.text
                elif launch.word in {"refused", "unstaged"}:
                    message = f"The job cannot be started on this host: {launch.text}."
                    answers[key] = Rejected(message, reason="LaunchFailed")
                else:
                    answers[key] = InDoubt(
                        "This host already knows the job." if launch.word == "known" else launch.text
                    )
        return answers

    def _stage(self, workload: Workload) -> Staged:
        staged = render(workload, self._settings.runtime)
        demand = workload.demand
        request = f"{demand.cpus} {demand.gpus} {demand.time_limit or 0} {self._settings.runtime.grace}\n".encode()
        ours = (File("local_job.sh", _program("job").encode(), 0o700), File("request", request, 0o600))
        return replace(staged, files=(*staged.files, *ours))

    def _search(self, account: str, refs: Sequence[JobRef]) -> dict[JobRef, str]:
        # job.sh writes its native id before anything else. If there is none after this time, it never started.
        return dict.fromkeys(refs, "")

    def _poll_account(self, account: str, refs: Sequence[JobRef], recorded: bytes) -> PollAnswer:
        parts, _ = self._run_poll(account, _program("poll"), refs, recorded, {})
        stories_by_key = stories(parts["events"], parts["outcomes"], account)
        return PollAnswer(dict(read_jobs(parts["jobs"].lines, {ref.key: ref for ref in refs}, stories_by_key)))

    def cancel(self, refs: Sequence[JobRef]) -> None:
        for account, batch in batches(refs):
            jobs = "\n".join(f"{ref.native_id} {ref.key}" for ref in batch if ref.native_id)
            require_success(self._folders.run(account, [_program("cancel")], {"jobs": jobs}), self._name)

    def capacity(self) -> list[PartitionReport]:
        done = self._folders.run("", [_program("capacity")], {})
        require_success(done, self._name)
        cpus, kilobytes = done.stdout.split()
        return [PartitionReport("local", nodes=1, cpus=int(cpus), memory=int(kilobytes) * 1024, default=True)]


def read_jobs(
    lines: Iterable[str], refs: Mapping[str, JobRef], stories_by_key: Mapping[str, Story]
) -> Iterable[tuple[str, Report]]:
    """Yield (key, report) for the lines of programs/poll.sh. A job without a folder is unknown and left out."""
    for line in filter(None, lines):
        key, state, request, begun, end = line.split("\t")
        if state == "unknown":
            continue
        story = stories_by_key.get(key, Story())
        cpus, gpus, *_ = request.split() if request else ("1", "0")
        started = from_epoch(begun)
        report = Report(
            key,
            refs[key].native_id,
            Phase.RUNNING if begun else Phase.PENDING,
            containers=story.reports,
            started_at=started,
            cpus=int(cpus),
            gpus=int(gpus),
            nodes=1,
            restart=story.restart,
            events=story.events,
        )
        yield key, _ended(report, state, end, story)


def _ended(report: Report, state: str, end: str, story: Story) -> Report:
    if end.count(" ") >= 2:
        epoch, code, word, *alive = end.split(" ")
        ended = _recorded_end(replace(report, ended_at=from_epoch(epoch)), int(code), word, story)
        if not alive:
            return ended
        warning = f"Some of its processes could not be killed and still run on the host: {', '.join(alive)}."
        return replace(ended, message=f"{ended.message} {warning}".strip())
    if state == "alive":
        waiting = "" if report.started_at else "Waits for one of this host's slots."
        return replace(report, reason="Resources" if waiting else "", message=waiting)
    lost = replace(report, phase=Phase.FAILED, exit_code=137, ended_at=story.last_end or report.started_at)
    if state == "rebooted":
        return replace(lost, reason="NodeLost", message="The host was restarted before the job had ended.")
    return replace(lost, reason="Killed", message="Somebody on the host killed the job's processes.")


def _recorded_end(report: Report, code: int, word: str, story: Story) -> Report:
    if word == "Cancelled":
        return replace(
            report, phase=Phase.CANCELLED, reason="Cancelled", message="The job was cancelled.", exit_code=code
        )
    if word == "DeadlineExceeded":
        message = "The job reached its time limit and was ended."
        return replace(report, phase=Phase.FAILED, reason="DeadlineExceeded", message=message, exit_code=code)
    if code == 0:
        return replace(report, phase=Phase.SUCCEEDED)
    reason, message = next(iter(story.reasons.values()), ("", ""))
    own = None if story.has_failed else code
    return replace(report, phase=Phase.FAILED, reason=reason, message=message, exit_code=own)
