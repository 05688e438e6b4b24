"""The sites that benchmarks send pods to: the test backends' Slurm, and this host without a scheduler."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deploy.embedded.unprivileged import private_folder, system_user
from tests.backends.control import find_backends, slurm_answers, sshd_answers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.backends.control import Backends


@dataclass(frozen=True)
class BenchmarkSite:
    """A site as its operator sets it up. home: the account's home, in which relative folders of attempts lie."""

    kind: str
    config: dict[str, Any]
    home: Path
    secret: str = field(default="", repr=False)
    poll_interval: float = 5

    def row(self) -> dict[str, Any]:
        """What a stack makes its site of."""
        names = ("kind", "config", "secret", "poll_interval")
        return {name: getattr(self, name) for name in names}

    def tidy(self, native_ids: Sequence[str] = ()) -> None:
        """Take away these batch jobs, and all attempt folders."""
        if self.kind == "slurm" and native_ids:
            environ = {"PATH": os.environ["PATH"], **self.config["env"]}
            subprocess.run(["xargs", "scancel", "-Q"], input="\n".join(native_ids), text=True, env=environ, check=True)
        shutil.rmtree((self.home / self.config["base"]).parent, ignore_errors=True)


def slurm_over_ssh(*, poll_interval: float = 5) -> BenchmarkSite:
    """The backends' Slurm as the unprivileged user, pods as plain processes."""
    backends = find_slurm()
    if backends is None:
        raise SystemExit("There is no Slurm behind SSH to measure with: start the backends first (make backends).")
    ssh = {
        "host": backends.ssh_host,
        "port": backends.ssh_port,
        "user": backends.user,
        "host_key": backends.known_hosts.read_text(),
    }
    base = f".isthmus-benchmark-{secrets.token_hex(4)}/jobs"  # of this run: another may be at work
    config = {"base": base, "runtime": {"kind": "host"}, "env": {"SLURM_CONF": backends.slurm_conf}, "ssh": ssh}
    home = Path(pwd.getpwnam(backends.user).pw_dir)
    return BenchmarkSite("slurm", config, home, backends.key.read_text(), poll_interval)


def find_slurm() -> Backends | None:
    backends = find_backends()
    return backends if backends and slurm_answers(backends) and sshd_answers(backends) else None


def this_host(folder: Path, *, slots: int) -> BenchmarkSite:
    """The local connector, with its attempts in `folder`; as root, jobs run as the system user."""
    user = system_user()
    base = private_folder(folder, user) / "jobs"
    config = {"base": str(base), "runtime": {"kind": "host"}, "slots": slots}
    return BenchmarkSite("local", config | ({"user": user.pw_name} if user else {}), base.parent)
