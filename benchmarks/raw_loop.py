"""The yardstick of benchmarks/submit.py: what a plain program would do over one open SSH connection.

It stages exactly the files that our connector stages for the same pod, and calls sbatch. It keeps no record and has no
fence: after a crash it could not tell what it has submitted.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

import asyncssh

from sites.connectors.folder.staging import members_of
from sites.connectors.slurm.connector import SlurmSettings
from sites.connectors.slurm.header import header
from sites.script import render
from sites.workload import Container, Demand, Workload

if TYPE_CHECKING:
    from benchmarks.sites import BenchmarkSite

STAGE_AND_SUBMIT = """
export SLURM_CONF={slurm_conf}
cd {base} && tar -xpf - && cd {key} && exec sbatch --parsable --chdir="$PWD" script
"""


class RawLoop:
    """Submits pods with one container that runs `shell`, to `partition`."""

    def __init__(self, site: BenchmarkSite, *, shell: str, partition: str) -> None:
        self._settings = SlurmSettings.from_config(site.config)
        self._secret = site.secret
        self._container = Container("main", "busybox:1.36", command=("/bin/sh", "-c"), args=(shell,))
        self._demand = Demand(partition=partition)

    def run(self, jobs: int, *, at_once: int) -> tuple[float, list[str]]:
        """Submit this many jobs. Return the seconds it took, without the time to connect, and the native ids."""
        return asyncio.run(self._run(jobs, at_once))

    async def _run(self, jobs: int, at_once: int) -> tuple[float, list[str]]:
        ssh = self._settings.ssh
        if ssh is None:
            raise ValueError("the raw loop goes over SSH")
        async with asyncssh.connect(
            ssh.host,
            ssh.port,
            username=ssh.user,
            client_keys=[asyncssh.import_private_key(self._secret)],
            known_hosts=ssh.host_key.encode(),
            config=None,
            compression_algs=None,
        ) as connection:
            await connection.run(f"mkdir -p {self._settings.base}", check=True)
            turns = asyncio.Semaphore(at_once)
            began = time.monotonic()
            native_ids = await asyncio.gather(*(self._submit(connection, turns) for _ in range(jobs)))
            return time.monotonic() - began, native_ids

    async def _submit(self, connection: asyncssh.SSHClientConnection, turns: asyncio.Semaphore) -> str:
        async with turns:
            key, own = secrets.token_hex(20), self._settings
            job = Workload(
                key, f"{own.base}/{key}", "benchmark/raw", containers=(self._container,), demand=self._demand
            )
            stream = members_of(key, render(job, own.runtime, header(job))) + bytes(1024)
            program = STAGE_AND_SUBMIT.format(slurm_conf=dict(own.env)["SLURM_CONF"], base=own.base, key=key)
            done = await connection.run(program, input=stream, encoding=None, check=True)
            return bytes(done.stdout or b"").decode().strip()  # type: ignore[arg-type]  # bytes, as encoding=None asks
