"""The sites that benchmarks use: the backends' Slurm, and this host without a scheduler."""

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
    """A site as its operator sets it up. home: the account's home, which relative attempt folders start from."""

    kind: str
    config: dict[str, Any]
    home: Path
    secret: str = field(default="", repr=False)
    poll_interval: float = 5

    def row(self) -> dict[str, Any]:
        """Return the parameters from which a stack creates the site's row."""
        names = ("kind", "config", "secret", "poll_interval")
        return {name: getattr(self, name) for name in names}

    def tidy(self, native_ids: Sequence[str] = ()) -> None:
        """Cancel these batch jobs and delete all attempt folders."""
        if self.kind == "slurm" and native_ids:
            environ = {"PATH": os.environ["PATH"], **self.config["env"]}
            subprocess.run(["xargs", "scancel", "-Q"], input="\n".join(native_ids), text=True, env=environ, check=True)
        shutil.rmtree((self.home / self.config["base"]).parent, ignore_errors=True)


def slurm_over_ssh(*, poll_interval: float = 5) -> BenchmarkSite:
    """Yield the backends' Slurm, used as the unprivileged user; pods are plain processes."""
    backends = find_slurm()
    if backends is None:
        raise SystemExit("There is no Slurm over SSH: start the backends first (make backends).")
    ssh = {
        "host": backends.ssh_host,
        "port": backends.ssh_port,
        "user": backends.user,
        "host_key": backends.known_hosts.read_text(),
    }
    base = f".isthmus-benchmark-{secrets.token_hex(4)}/jobs"  # unique: another run may use the same host
    config = {"base": base, "runtime": {"kind": "host"}, "env": {"SLURM_CONF": backends.slurm_conf}, "ssh": ssh}
    home = Path(pwd.getpwnam(backends.user).pw_dir)
    return BenchmarkSite("slurm", config, home, backends.key.read_text(), poll_interval)


def find_slurm() -> Backends | None:
    backends = find_backends()
    return backends if backends and slurm_answers(backends) and sshd_answers(backends) else None


def this_host(folder: Path, *, slots: int) -> BenchmarkSite:
    """Yield the local connector with its attempts in `folder`. As root, jobs run as the system user."""
    user = system_user()
    base = private_folder(folder, user) / "jobs"
    config = {"base": str(base), "runtime": {"kind": "host"}, "slots": slots}
    return BenchmarkSite("local", config | ({"user": user.pw_name} if user else {}), base.parent)
