"""Speaks to Slurm by its own commands, over SSH or on this host. One round trip submits a batch, one polls all jobs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from shlex import quote
from typing import TYPE_CHECKING

from sites.connectors.base import InDoubt, PollAnswer, Rejected, Unreachable
from sites.connectors.config import BadConfig, Config
from sites.connectors.folder.connector import FolderConnector
from sites.connectors.folder.protocol import DEFAULT_BASE, AttemptFolders, batches, launch_batch, read_base
from sites.connectors.folder.staging import staged_batches
from sites.connectors.shell.local import LocalShell
from sites.connectors.shell.programs import read_program
from sites.connectors.shell.ssh import SshShell
from sites.connectors.shell.ssh_settings import SshSettings
from sites.connectors.slurm.header import header
from sites.connectors.slurm.output import partition_reports
from sites.connectors.slurm.refusals import is_silence, refusal
from sites.connectors.slurm.reports import parse_answer, reports, squeue_seconds
from sites.script import Runtime, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sites.connectors.base import Submitted
    from sites.connectors.folder.protocol import Launch
    from sites.connectors.shell.base import Shell
    from sites.workload import JobRef, PartitionReport, Workload

_program = partial(read_program, "sites.connectors.slurm")

MOST_DETAILS = 100


@dataclass(frozen=True)
class SlurmSettings:
    """The settings of a Slurm site.

    base: the folder of attempts. ssh: how to reach the site; None: it is this host. user: on this host, the user for
    Slurm's commands if the service runs as root. bin: the folder of Slurm's commands. env: variables for them
    (SLURM_CONF). requeue: whether Slurm may run a job again after a node failed. extra_options: the operator's own
    `#SBATCH` options. lanes: how many sbatch run at a time. timeout, submit_timeout: seconds for one call.
    """

    runtime: Runtime
    base: str = DEFAULT_BASE
    ssh: SshSettings | None = None
    user: str = ""
    bin: str = ""
    env: tuple[tuple[str, str], ...] = ()
    requeue: bool = False
    extra_options: tuple[str, ...] = ()
    lanes: int = 4
    timeout: int = 60
    submit_timeout: int = 120

    @classmethod
    def from_config(cls, values: Mapping[str, object]) -> SlurmSettings:
        """Read a site's settings. Raises `BadConfig` with a sentence that says what is wrong."""
        config = Config(values)
        ssh = config.part("ssh")
        settings = cls(
            runtime=config.runtime(),
            base=read_base(config),
            ssh=SshSettings.from_config(ssh) if ssh else None,
            user=config.text("user"),
            bin=config.text("bin"),
            env=config.variables("env"),
            requeue=config.flag("requeue", default=False),
            extra_options=config.texts("extra_options"),
            lanes=config.number("lanes", 4, most=32),
            timeout=config.number("timeout", 60, most=600),
            submit_timeout=config.number("submit_timeout", 120, least=40, most=600),
        )
        config.text("default_partition")  # sites/policy.py reads it
        config.finish()
        if bad := [option for option in settings.extra_options if not re.match(r"--[a-z]", option)]:
            raise BadConfig(f"{bad[0]!r} in `extra_options` is not a long option of sbatch (--name=value).")
        return settings


class SlurmConnector(FolderConnector):
    """Speaks to one Slurm cluster."""

    def __init__(self, settings: SlurmSettings, shell: Shell) -> None:
        self._settings = settings
        variables = "".join(f"export {name}={quote(value)}\n" for name, value in settings.env)
        path = f'export PATH={quote(settings.bin)}:"$PATH"\n' if settings.bin else ""
        prelude = f"{_program('env')}{variables}{path}"
        super().__init__(AttemptFolders(shell, prelude, settings.timeout, settings.submit_timeout))
        # The only state that threads share. A poll that finds the accounting disabled sets it to False; nothing sets it
        # back. A poll that still reads True only learns the same again.
        self._has_accounting = True

    @classmethod
    def from_config(cls, values: Mapping[str, object], secret: str = "") -> SlurmConnector:
        settings = SlurmSettings.from_config(values)
        return cls(settings, SshShell(settings.ssh, secret) if settings.ssh else LocalShell(settings.user))

    def submit(self, workloads: Sequence[Workload]) -> dict[str, Submitted]:
        answers: dict[str, Submitted] = {}
        silences: list[str] = []
        own = self._settings
        staged = (
            (job, render(job, own.runtime, header(job, requeue=own.requeue, extra=own.extra_options)))
            for job in workloads
        )
        for batch in staged_batches(staged, answers):
            launches = launch_batch(self._folders, batch, _program("launch"), {"lanes": own.lanes}, answers)
            silences += [launch.text for launch in launches.values() if is_silence(launch.text)]
            answers.update((key, _submitted(launch)) for key, launch in launches.items())
        if silences and len(silences) == len(answers):
            raise Unreachable(f"Slurm at {self._name} does not answer: {silences[0]}.")
        return answers

    def _search(self, account: str, refs: Sequence[JobRef]) -> dict[JobRef, str]:
        """Search queue and accounting by name. "" means: both have answered, and neither knows the job."""
        variables = {"names": ",".join(f"isthmus-{ref.key}" for ref in refs), "accounting": self._accounting}
        done = self._folders.run(account, [_program("search")], variables)
        if done.exit != 0:
            raise Unreachable(f"Slurm at {self._name} does not answer: {done.complaint}.")
        natives = {
            name: native for native, _, name in (line.partition("|") for line in done.stdout.decode().split("\n"))
        }
        found = {ref: natives.get(f"isthmus-{ref.key}", "") for ref in refs}
        both_answered = "end|yes" in done.stdout.decode().split("\n")
        return {ref: native for ref, native in found.items() if native or both_answered}

    def _poll_account(self, account: str, refs: Sequence[JobRef], recorded: bytes) -> PollAnswer:
        variables = {"most_details": MOST_DETAILS, "accounting": self._accounting}
        parts, complaint = self._run_poll(account, _program("poll"), refs, recorded, variables)
        if parts["queue"].code != 0:
            raise Unreachable(f"Slurm at {self._name} does not answer: {complaint or 'squeue took too long'}.")
        answer = parse_answer(parts, account, has_accounting=self._has_accounting)
        if not answer.has_accounting:
            self._has_accounting = False
        return PollAnswer(reports(answer, refs), squeue_seconds(parts))

    def cancel(self, refs: Sequence[JobRef]) -> None:
        for account, batch in batches(refs):
            lines = "".join(f"{ref.native_id}\t{ref.key}\n" for ref in batch if ref.native_id)
            done = self._folders.run(account, [_program("cancel")], {}, lines.encode())
            if "ermission denied" in done.complaint:
                raise Rejected(f"Slurm does not let us cancel: {done.complaint}.", reason="NotPermitted")
            if done.exit != 0:
                raise Unreachable(f"Slurm at {self._name} does not answer: {done.complaint}.")

    def capacity(self) -> list[PartitionReport]:
        done = self._folders.run("", [_program("capacity")], {})
        if done.exit != 0:
            raise Unreachable(f"Slurm at {self._name} does not answer: {done.complaint or 'sinfo took too long'}.")
        return partition_reports(done.stdout.decode(errors="replace").split("\n"))

    @property
    def _accounting(self) -> str:
        return "yes" if self._has_accounting else "no"


def _submitted(launch: Launch) -> Submitted:
    match launch.word:
        case "started":
            return launch.text
        case "refused":
            return refusal(launch.text)
        case "unstaged":
            return Rejected(f"The pod's files cannot be stored at the site: {launch.text}.", reason="StagingFailed")
        case "known":
            return InDoubt("The site already knows this attempt.")
        case _:
            return InDoubt(f"Slurm may or may not have taken the job: {launch.text}.")
