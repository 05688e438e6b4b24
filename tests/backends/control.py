"""Find the real systems that `tests/backends/up.sh` started, and stop, pause and restart them.

Everything here needs root, as up.sh does, because it signals system daemons.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT_PLACES = (CHECKOUT / ".backends", Path("/var/lib/isthmus-backends"))
SBIN = "/usr/local/sbin:/usr/sbin:/sbin"


@dataclass(frozen=True)
class Backends:
    """The contents of env.json, which up.sh writes.

    `key` and `known_hosts` are files; `user` is the account that runs jobs; `keycloak_url` is Keycloak's own, and its
    realms are below it.
    """

    folder: Path
    slurm_conf: str
    ssh_host: str
    ssh_port: int
    key: Path
    known_hosts: Path
    keycloak_url: str
    images: str
    user: str

    @property
    def slurmctld_pid(self) -> Path:
        return self.folder / "slurm/pid/slurmctld.pid"

    @property
    def sshd_pid(self) -> Path:
        return self.folder / "ssh/pid"


def find_backends() -> Backends | None:
    """Return the running backends: from `ISTHMUS_BACKENDS` (or `BACKENDS`), else from one of the default places."""
    chosen = os.environ.get("ISTHMUS_BACKENDS") or os.environ.get("BACKENDS")
    for folder in (Path(chosen),) if chosen else DEFAULT_PLACES:
        if (folder / "env.json").is_file():
            return _read(folder)
    return None


def _read(folder: Path) -> Backends:
    told = json.loads((folder / "env.json").read_text())
    ssh = told["ssh"]
    return Backends(
        folder=folder,
        slurm_conf=told["slurm_conf"],
        ssh_host=ssh["host"],
        ssh_port=ssh["port"],
        key=Path(ssh["key"]),
        known_hosts=Path(ssh["known_hosts"]),
        keycloak_url=told.get("keycloak", ""),  # an older up.sh does not write it
        images=told["images"],
        user=told["user"],
    )


def slurm_answers(backends: Backends) -> bool:
    return _slurm(backends, "sinfo", "-h").returncode == 0


def sshd_answers(backends: Backends) -> bool:
    try:
        with socket.create_connection((backends.ssh_host, backends.ssh_port), timeout=5) as connection:
            return connection.recv(8).startswith(b"SSH-2.0")
    except OSError:
        return False


def stop_slurmctld(backends: Backends, *, how: signal.Signals = signal.SIGTERM) -> None:
    """Stop the controller: every Slurm client blocks or fails until it is started again. Running jobs continue."""
    _end(_running(backends.slurmctld_pid, "slurmctld"), how)


def start_slurmctld(backends: Backends) -> None:
    if not _running(backends.slurmctld_pid, "slurmctld"):
        # -i: a slurmctld that was killed while it wrote its state must still start.
        _daemon(["slurmctld", "-i"], SLURM_CONF=backends.slurm_conf)
    _wait_until(lambda: slurm_answers(backends), "slurmctld does not answer")


def stop_sshd(backends: Backends) -> None:
    """Refuse new connections and cut the open ones, whatever they carry."""
    _end([*_running(backends.sshd_pid, "sshd"), *_ssh_sessions(backends)], signal.SIGKILL)


def cut_ssh_sessions(backends: Backends) -> None:
    """Cut every open connection; new connections are accepted."""
    _end(_ssh_sessions(backends), signal.SIGKILL)


def _ssh_sessions(backends: Backends) -> list[psutil.Process]:
    listener = _running(backends.sshd_pid, "sshd")
    return [child for one in listener for child in one.children(recursive=True) if _is_named(child, "sshd")]


def start_sshd(backends: Backends) -> None:
    if not _running(backends.sshd_pid, "sshd"):
        Path("/run/sshd").mkdir(exist_ok=True)
        _daemon(
            [
                "/usr/sbin/sshd",
                "-f",
                f"{backends.folder}/ssh/sshd_config",
                "-E",
                f"{backends.folder}/ssh/log",
            ]
        )
    _wait_until(lambda: sshd_answers(backends), "sshd does not answer")


def batch_jobs(backends: Backends, under: Path = Path("/")) -> Counter[str]:
    """Count Slurm's batch jobs by name, queued, running and finished: the measure of "exactly once".

    Finished jobs are read from the job completion file, which keeps them after Slurm forgets them; each job is counted
    once. under: count only jobs whose working folder lies there.
    """
    finished = (backends.folder / "slurm/log/jobcomp.txt").read_text()
    seen = set(_queue(backends, "all"))
    seen |= set(re.findall(r"^JobId=(\d+) .*? Name=(\S+) .*? WorkDir=(\S+)", finished, re.MULTILINE))
    return Counter(name for _, name, folder in seen if Path(folder).is_relative_to(under))


def live_batch_jobs(backends: Backends, under: Path = Path("/")) -> list[str]:
    """Return the names of the batch jobs that wait or run, one entry per job."""
    live = _queue(backends, "PENDING,RUNNING,SUSPENDED,COMPLETING,CONFIGURING")
    return [name for _, name, folder in live if Path(folder).is_relative_to(under)]


def _queue(backends: Backends, states: str) -> list[tuple[str, str, str]]:
    """Return (native id, name, working folder) of each batch job in one of these states."""
    answer = _slurm(backends, "squeue", "-h", "-a", "-t", states, "-o", "%A|%j|%Z")
    answer.check_returncode()
    rows = (line.split("|", 2) for line in answer.stdout.splitlines())
    return [(native, name, folder) for native, name, folder in rows]


def _slurm(backends: Backends, *argv: str) -> subprocess.CompletedProcess[str]:
    """Run one Slurm client command as root with a clean environment. If Slurm is down, it fails after 3 s."""
    environment = {"PATH": f"{os.environ['PATH']}:{SBIN}", "LC_ALL": "C", "SLURM_CONF": backends.slurm_conf}
    try:
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=3, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(argv, 124, "", str(error))


def _daemon(argv: Sequence[str], **environment: str) -> None:
    """Run a program that puts itself into the background, without our SLURM_* and SSH_* variables."""
    clean = {"PATH": f"{os.environ['PATH']}:{SBIN}", **environment}
    null = subprocess.DEVNULL
    subprocess.run(argv, env=clean, check=True, timeout=30, stdin=null, stdout=null, stderr=null)


def _running(pidfile: Path, name: str) -> list[psutil.Process]:
    """Return the daemon of this pid file in a list, or an empty list. The process name must match: pids are reused."""
    try:
        process = psutil.Process(int(pidfile.read_text()))
    except (OSError, ValueError, psutil.NoSuchProcess):
        return []
    return [process] if _is_named(process, name) and _alive(process) else []


def _is_named(process: psutil.Process, name: str) -> bool:
    try:
        return process.name() == name
    except psutil.NoSuchProcess:  # it has just ended
        return False


def _end(processes: Sequence[psutil.Process], how: signal.Signals) -> None:
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it has just ended
            process.send_signal(how)
    _wait_until(lambda: not any(map(_alive, processes)), "a daemon does not stop")


def _alive(process: psutil.Process) -> bool:
    # Where no process reaps orphans, a dead daemon stays a zombie, which psutil counts as running.
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _wait_until(true: Callable[[], bool], otherwise: str) -> None:
    deadline = time.monotonic() + 30
    while not true():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(0.05)
