"""A Slurm made of small scripts on this host, for failures that a real one cannot be made to show."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sites.connectors.shell.local import LocalShell
from sites.connectors.slurm.connector import SlurmConnector, SlurmSettings
from sites.script import Runtime, RuntimeKind
from sites.workload import Container, JobRef, Workload
from tests.backends.control import find_backends
from tests.backends.fixtures import START, unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sites.connectors.shell.base import Shell

# Each accepts a job, gives it the next number, and records its name.
SBATCH = """
number=$(mktemp -u XXXXXXXX | cksum | cut -d ' ' -f 1)
sed -n 's/^#SBATCH --job-name=/'"$number"'|/p' script >> {folder}/jobs
echo "$number"
"""
NO_ACCOUNTING = "echo 'Slurm accounting storage is disabled' >&2; exit 1"


def unprivileged_user() -> str:
    """Return the user that runs commands: our own, or, for root, the backends' account."""
    if os.geteuid() != 0:
        return pwd.getpwuid(os.geteuid()).pw_name
    backends = find_backends() or unavailable(f"As root there is no user to run jobs as: {START}.")
    return backends.user


class StandIn:
    """`folder` belongs to the user and holds `bin`, the scripts, and `jobs`, a line `<number>|<name>` per sbatch."""

    def __init__(self, folder: Path, user: str) -> None:
        self.folder = folder
        self.user = user
        (folder / "bin").mkdir()
        self.settings = SlurmSettings(Runtime(RuntimeKind.HOST), bin=str(folder / "bin"), lanes=1)
        self.command("sbatch", SBATCH.format(folder=folder))
        self.command("squeue", "exit 0")
        self.command("sacct", NO_ACCOUNTING)
        self.command("scontrol", "exit 1")

    def command(self, name: str, script: str) -> None:
        """Make one of Slurm's (or the system's) commands run this script."""
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def connector(self, shell: Shell | None = None, **changed: object) -> SlurmConnector:
        return SlurmConnector(replace(self.settings, **changed), shell or LocalShell(self.user))  # type: ignore[arg-type]

    def workload(self, base: str = "") -> Workload:
        key = secrets.token_hex(20)
        main = Container("main", "", command=("/bin/true",))
        return Workload(key, f"{base or self.folder / 'base'}/{key}", "research/pod", (main,))

    @property
    def jobs(self) -> dict[str, str]:
        """Return number -> name of each job that sbatch accepted."""
        path = self.folder / "jobs"
        return dict(line.split("|") for line in path.read_text().split()) if path.exists() else {}

    def calls(self, name: str) -> int:
        """Return how often a command that runs `echo >> {folder}/<name>.calls` was called."""
        path = self.folder / f"{name}.calls"
        return len(path.read_text().splitlines()) if path.exists() else 0


def ref_of(workload: Workload, native_id: object = "") -> JobRef:
    return JobRef(workload.key, native_id if isinstance(native_id, str) else "", workload.folder)


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """A stand-in in the user's home, because folders that pytest makes for root are closed to the user."""
    user = unprivileged_user()
    made = LocalShell(user).run("mktemp -d ./isthmus-test.XXXXXXXX; pwd", timeout=10).stdout.decode().split()
    folder = Path(made[1], made[0])
    try:
        yield StandIn(folder, user)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
