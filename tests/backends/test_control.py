"""The backends can be stopped and started again, which every failure test relies on."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING
from uuid import uuid4

from tests.backends import control
from tests.backends.fixtures import slurm_backend, ssh_backend

if TYPE_CHECKING:
    from tests.backends.control import Backends

__all__ = ["slurm_backend", "ssh_backend"]


def test_slurmctld_stops_and_starts_again(slurm_backend: Backends) -> None:
    control.stop_slurmctld(slurm_backend)
    try:
        assert not control.slurm_answers(slurm_backend)
    finally:
        control.start_slurmctld(slurm_backend)
    assert control.slurm_answers(slurm_backend)


def test_sshd_stops_and_starts_again(ssh_backend: Backends) -> None:
    control.stop_sshd(ssh_backend)
    try:
        assert not control.sshd_answers(ssh_backend)
    finally:
        control.start_sshd(ssh_backend)
    assert control.sshd_answers(ssh_backend)


def test_a_batch_job_is_counted_once_while_it_waits_and_after_its_end(slurm_backend: Backends) -> None:
    name = f"counted-{uuid4().hex}"
    environment = {"PATH": "/usr/bin:/bin", "SLURM_CONF": slurm_backend.slurm_conf}
    submit = ["sbatch", "--hold", "-J", name, "--uid", slurm_backend.user, "-D", "/tmp", "--wrap", "true"]
    subprocess.run(submit, env=environment, check=True, capture_output=True, timeout=20)
    assert control.batch_jobs(slurm_backend)[name] == 1
    subprocess.run(["scancel", "-n", name], env=environment, check=True, timeout=20)
    assert control.batch_jobs(slurm_backend)[name] == 1
    subprocess.run(submit, env=environment, check=True, capture_output=True, timeout=20)
    assert control.batch_jobs(slurm_backend)[name] == 2
    subprocess.run(["scancel", "-n", name], env=environment, check=True, timeout=20)
