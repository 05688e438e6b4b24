"""Jobs as processes of this host: the demo, development, and a workstation without a scheduler.

The same batch scripts as at any site run under a small bound of slots. Nothing of them hangs on a worker's life: each
has its own session, is known by pid, start time and boot id, and its outcome is in its folder.
"""

from __future__ import annotations

import posixpath
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sites.connectors.attempt_folder import (
    AttemptFolders,
    Doubt,
    batches,
    launch_batch,
    program_bytes,
    require_success,
    safe_folder,
)
from sites.connectors.base import Connector, InDoubt, Rejected
from sites.connectors.config import DEFAULT_BASE, Config
from sites.connectors.outcomes import Story, moment, recorded_of, sections, stories
from sites.connectors.shell import LocalShell, Shell
from sites.connectors.staging import pack
from sites.script import Runtime, render
from sites.workload import File, JobRef, PartitionReport, Phase, Report

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sites.connectors.attempt_folder import Launch
    from sites.connectors.base import Found, LogRequest, Submitted
    from sites.script import Staged
    from sites.workload import Workload

MOST_EVENTS = 20_000
MOST_OUTCOMES = 1_000


@dataclass(frozen=True)
class LocalSettings:
    """base: folder of attempts; slots: jobs that run at a time; user: whom a service started as root runs them as."""

    runtime: Runtime
    base: str = DEFAULT_BASE
    slots: int = 4
    user: str = ""

    @classmethod
    def from_config(cls, values: Mapping[str, object]) -> LocalSettings:
        """Read an operator's settings; `BadConfig` says in a sentence what is wrong with them."""
        config = Config(values)
        settings = cls(
            runtime=config.runtime("host"),
            base=config.folder("base", DEFAULT_BASE),
            slots=config.number("slots", 4, most=1000),
            user=config.text("user"),
        )
        config.finish()
        return settings


class LocalConnector(Connector):
    """This host, without a scheduler."""

    def __init__(self, settings: LocalSettings, shell: Shell | None = None) -> None:
        self._settings = settings
        self._folders = AttemptFolders(shell or LocalShell(settings.user))

    @classmethod
    def from_config(cls, values: Mapping[str, object], secret: str) -> LocalConnector:
        return cls(LocalSettings.from_config(values))

    def submit(self, workloads: Sequence[Workload]) -> dict[str, Submitted]:
        answers: dict[str, Submitted] = {}
        staged = ((workload, self._stage(workload)) for workload in workloads)
        for batch in pack(staged, answers):
            launches = launch_batch(self._folders, batch, "local_launch", {"slots": self._settings.slots}, answers)
            answers.update((key, _submitted(launch)) for key, launch in launches.items())
        return answers

    def _stage(self, workload: Workload) -> Staged:
        staged = render(workload, self._settings.runtime)
        wishes = workload.resources
        request = f"{wishes.cpus} {wishes.gpus} {time_limit(workload) or 0}\n".encode()
        ours = (File("local_job.sh", program_bytes("local_job"), 0o700), File("request", request, 0o600))
        return replace(staged, files=(*staged.files, *ours))

    def find(self, refs: Sequence[JobRef]) -> dict[str, Found]:
        answers: dict[str, Found] = {}
        for account, batch in batches(refs):
            found = self._folders.find(account, batch)
            answers.update((key, answer) for key, answer in found.items() if not isinstance(answer, Doubt))
            # local_job.sh names itself before anything else: without a name after so long, it never started.
            lost = {ref: "" for ref in batch if _is_old(found.get(ref.key))}
            if lost:
                found |= self._folders.resolve(account, lost)
            for key, answer in found.items():
                answers[key] = InDoubt("The job was about to be started.") if isinstance(answer, Doubt) else answer
        return answers

    def poll(self, refs: Sequence[JobRef], recorded: Sequence[str] = ()) -> dict[str, Report]:
        reports: dict[str, Report] = {}
        accounts = dict.fromkeys([ref.account for ref in refs] + [token.partition(":")[0] for token in recorded])
        for account in accounts:
            own = [ref for ref in refs if ref.account == account]
            reports |= self._poll_account(account, own, recorded_of(account, recorded))
        return reports

    def _poll_account(self, account: str, refs: Sequence[JobRef], recorded: bytes) -> dict[str, Report]:
        token = secrets.token_hex(8)
        given = {
            "token": token,
            "recorded": len(recorded),
            "parents": "\n".join(sorted({posixpath.dirname(ref.folder) for ref in refs})),
            "most_events": MOST_EVENTS,
            "most_outcomes": MOST_OUTCOMES,
        }
        lines = "".join(f"{ref.native_id}\t{ref.key}\t{safe_folder(ref)}\n" for ref in refs if ref.native_id)
        done = self._folders.run(account, ["outcomes", "local_poll"], given, recorded + lines.encode())
        require_success(done, self._folders.shell.name)
        parts = sections(done.stdout, token, self._folders.shell.name)
        told = stories(parts["events"], parts["outcomes"], account)
        return dict(read_jobs(parts["jobs"].lines, {ref.key: ref for ref in refs}, told))

    def cancel(self, refs: Sequence[JobRef]) -> None:
        for account, batch in batches(refs):
            jobs = "\n".join(f"{ref.native_id} {ref.key}" for ref in batch if ref.native_id)
            require_success(self._folders.run(account, ["local_cancel"], {"jobs": jobs}), self._folders.shell.name)

    def read_logs(self, requests: Sequence[LogRequest]) -> list[bytes | None]:
        return self._folders.read_logs(requests)

    def capacity(self) -> list[PartitionReport]:
        done = self._folders.run("", ["local_capacity"], {})
        require_success(done, self._folders.shell.name)
        cpus, kilobytes = done.stdout.split()
        return [PartitionReport("local", nodes=1, cpus=int(cpus), memory=int(kilobytes) * 1024, default=True)]

    def clean(self, refs: Sequence[JobRef]) -> None:
        self._folders.clean(refs)

    def close(self) -> None:
        self._folders.shell.close()


def time_limit(workload: Workload) -> int | None:
    """Seconds: the smaller of what the pod and its native flags ask for."""
    return min(filter(None, (workload.time_limit, workload.flags.time_limit)), default=None)


def read_jobs(
    lines: Iterable[str], refs: Mapping[str, JobRef], told: Mapping[str, Story]
) -> Iterable[tuple[str, Report]]:
    """Lines of local_poll.sh -> reports by key. A job whose folder is gone is not known."""
    for line in filter(None, lines):
        key, state, request, begun, end = line.split("\t")
        if state == "unknown":
            continue
        story = told.get(key, Story())
        cpus, gpus, _ = request.split() if request.count(" ") == 2 else ("1", "0", "0")
        started = moment(begun)
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
    if end.count(" ") == 2:
        epoch, code, word = end.split(" ")
        return _told_end(replace(report, ended_at=moment(epoch)), int(code), word, story)
    if state == "alive":
        waiting = "" if report.started_at else "Waits for one of this host's slots."
        return replace(report, reason="Resources" if waiting else "", message=waiting)
    lost = replace(report, phase=Phase.FAILED, exit_code=137, ended_at=story.last_end or report.started_at)
    if state == "rebooted":
        return replace(lost, reason="NodeLost", message="The host was restarted while the job was there.")
    return replace(lost, reason="Killed", message="The job's processes were killed from outside.")


def _told_end(report: Report, code: int, word: str, story: Story) -> Report:
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


def _is_old(answer: object) -> bool:
    return isinstance(answer, Doubt) and answer.is_old


def _submitted(launch: Launch) -> Submitted:
    if launch.word == "started":
        return launch.text
    if launch.word in {"refused", "unstaged"}:
        return Rejected(f"The job cannot be started on this host: {launch.text}", reason="LaunchFailed")
    return InDoubt("The job is known here already." if launch.word == "known" else launch.text)
