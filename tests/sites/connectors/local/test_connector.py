"""Jobs as processes of this host: bounded in number, never in doubt, and independent of the worker's life."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from sites.connections import open_connector
from sites.connectors.base import ABSENT, InDoubt
from sites.connectors.local.connector import read_jobs
from sites.connectors.shell.programs import read_program
from sites.workload import Container, Demand, JobRef, Phase, Workload
from tests.sites.attempts import link_programs
from tests.sites.stand_in import unprivileged_user
from tests.sites.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sites.connectors.base import Connector

# A base of its own, so that its slots are not shared.
BASE = f".isthmus-local-{os.getpid()}/jobs"
CONFIG = {"base": BASE, "slots": 2, "user": "", "runtime": {"kind": "host", "grace": 1}}


class Local:
    """A site with two slots. `run` starts one job; all started jobs are ended and removed."""

    def __init__(self) -> None:
        self.user = unprivileged_user()
        self.connector: Connector = open_connector("local", {**CONFIG, "user": self.user})
        self.home = Path(pwd.getpwnam(self.user).pw_dir)
        self.refs: list[JobRef] = []

    def workload(self, shell: str) -> Workload:
        key = secrets.token_hex(20)
        return Workload(key, f"{BASE}/{key}", "home/pod", (Container("main", "", command=("/bin/sh", "-c", shell)),))

    def run(self, shell: str, **wishes: object) -> JobRef:
        workload = replace(self.workload(shell), **wishes)  # type: ignore[arg-type]
        ref = JobRef(workload.key, str(self.connector.submit([workload])[workload.key]), workload.folder)
        self.refs.append(ref)
        return ref

    def watch(self, *refs: JobRef) -> Watch:
        return Watch(self.connector, refs)

    def folder(self, ref: JobRef) -> Path:
        return self.home / ref.folder


@pytest.fixture
def local() -> Iterator[Local]:
    site = Local()
    yield site
    site.connector.cancel(site.refs)
    site.watch(*site.refs).until_ended(10)
    shutil.rmtree(site.home / BASE.split("/")[0], ignore_errors=True)


def processes_with(mark: str) -> list[psutil.Process]:
    found = psutil.process_iter(["cmdline", "status"])
    return [one for one in found if mark in " ".join(one.info["cmdline"] or ()) and one.info["status"] != "zombie"]


def test_no_more_jobs_run_than_there_are_slots(local: Local) -> None:
    refs = [local.run("sleep 0.6") for _ in range(5)]
    watch = local.watch(*refs)
    most = 0
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and not all(ref.key in watch.reports for ref in refs):
        watch.look()
    while not all(report.phase.is_end for report in watch.reports.values()):
        assert time.monotonic() < deadline
        watch.look()
        most = max(most, sum(report.phase is Phase.RUNNING for report in watch.reports.values()))
    assert most == 2
    assert {report.phase for report in watch.reports.values()} == {Phase.SUCCEEDED}


def test_jobs_survive_the_death_of_the_worker_that_started_them(local: Local) -> None:
    worker = """
import time
from tests.sites.connectors.local.test_connector import Local
site = Local()
print(*site.run("sleep 1; exit 7").__dict__.values(), sep="|", flush=True)
time.sleep(60)
"""
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}  # noqa: PTH109
    with subprocess.Popen([sys.executable, "-c", worker], stdout=subprocess.PIPE, env=environment) as process:
        assert process.stdout is not None
        key, native, _, *_ = process.stdout.readline().decode().strip().split("|")
        process.send_signal(signal.SIGKILL)
    # The worker had its own base, so the job is found by its process id.
    base = f".isthmus-local-{process.pid}/jobs"
    ref = JobRef(key, native, f"{base}/{key}")
    watch = local.watch(ref)
    watch.until_ended(20)
    assert watch.exit_codes(key) == {"main": 7}
    shutil.rmtree(local.home / base.split("/")[0])


def test_cancelling_ends_every_process_of_a_job_even_one_that_ignores_sigterm(local: Local) -> None:
    mark = f"4{secrets.randbelow(10**9):09d}"
    ref = local.run(f"trap '' TERM; (setsid sleep {mark} &) ; while :; do sleep {mark}; done")
    watch = local.watch(ref)
    watch.until_phase(Phase.RUNNING)
    watch.until(lambda: len(processes_with(f"sleep {mark}")) >= 2, 10)
    local.connector.cancel([ref])
    watch.until_ended(20)
    assert watch.reports[ref.key].phase is Phase.CANCELLED
    assert watch.reports[ref.key].exit_code == 143
    assert processes_with(f"sleep {mark}") == []


class BareHost:
    """A host without procps, with one job in `folder`, one of whose processes leaves the job's session."""

    def __init__(self, base: Path) -> None:
        self.mark = f"4{secrets.randbelow(10**9):09d}"
        self.folder = base / secrets.token_hex(20)
        every_host = ("awk", "bash", "cat", "cut", "find", "flock", "mkdir", "mv", "setsid", "sleep")
        self.programs = link_programs(base / "bin", *every_host)
        (self.folder / "scratch").mkdir(parents=True)
        script = f"""#!/bin/sh
            trap 'exit 143' TERM
            cd scratch; (setsid sleep {self.mark} &)
            while :; do sleep 0.1; done"""
        files = {
            "local_job.sh": read_program("sites.connectors.local", "job").encode(),
            "script": script.encode(),
            "request": b"1 0 0 0\n",
        }
        for name, content in {**files, "submitting": b""}.items():
            (self.folder / name).write_bytes(content)
            (self.folder / name).chmod(0o700)

    def launch(self, **env: str) -> subprocess.CompletedProcess[str]:
        """Start the job as the connector does. Return its native id, or why it has none."""
        argv = ["/bin/sh", "-c", f"slots=1\n{read_program('sites.connectors.local', 'launch')}\nlaunch"]
        environ = {"PATH": str(self.programs), **env}
        return subprocess.run(argv, cwd=self.folder, env=environ, capture_output=True, text=True, check=False)

    def cancel(self, native_id: str) -> JobRef:
        """Cancel the job once its process has left the session, and wait until the job reports its end."""
        wait_for(lambda: len(self.escaped()) == 1)
        os.kill(int(native_id.partition(".")[0]), signal.SIGTERM)
        wait_for((self.folder / "batch.ended").exists)
        return JobRef(self.folder.name, native_id, str(self.folder))

    def escaped(self) -> list[psutil.Process]:
        return processes_with(f"sleep {self.mark}")


@pytest.fixture
def bare_host(tmp_path: Path) -> Iterator[BareHost]:
    host = BareHost(tmp_path)
    yield host
    for process in psutil.process_iter(["cwd"]):
        if (process.info["cwd"] or "").startswith(str(host.folder)):
            process.kill()


def wait_for(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_process_that_left_the_session_is_ended_on_a_host_without_procps(bare_host: BareHost) -> None:
    bare_host.cancel(bare_host.launch().stdout)
    assert (bare_host.folder / "batch.ended").read_text().split()[1:] == ["143", "Cancelled"]
    assert bare_host.escaped() == []


def test_unkillable_processes_are_reported(bare_host: BareHost, tmp_path: Path) -> None:
    """Their process ids are in `batch.ended`, and the report names them."""
    spares = tmp_path / "spares"  # as if the process belonged to another user
    spares.write_text('kill() { [[ ${2:-} == KILL ]] || builtin kill "$@"; }')
    ref = bare_host.cancel(bare_host.launch(BASH_ENV=str(spares)).stdout)
    (escaped,) = bare_host.escaped()
    ended = (bare_host.folder / "batch.ended").read_text().strip()
    (told,) = read_jobs([f"{ref.key}\tgone\t1 0 0 0\t100\t{ended}"], {ref.key: ref}, {})
    report = told[1]
    assert (report.phase, report.exit_code) == (Phase.CANCELLED, 143)
    assert report.message.endswith(f"could not be killed and still run on the host: {escaped.pid}.")


def test_a_host_without_a_program_needed_to_end_jobs_starts_none(bare_host: BareHost) -> None:
    (bare_host.programs / "find").unlink()
    done = bare_host.launch()
    assert (done.returncode, done.stdout) == (1, "it has no find\n")
    assert not (bare_host.folder / "native_id").exists()


def test_a_time_limit_is_enforced(local: Local) -> None:
    watch = local.watch(local.run("sleep 60", demand=Demand(time_limit=1)))
    watch.until_ended(20)
    (report,) = watch.reports.values()
    assert (report.phase, report.reason, report.exit_code) == (Phase.FAILED, "DeadlineExceeded", 124)


def test_a_job_killed_from_outside_has_failed(local: Local) -> None:
    ref = local.run("sleep 60")
    watch = local.watch(ref)
    watch.until_phase(Phase.RUNNING)
    wrapper = psutil.Process(int(ref.native_id.partition(".")[0]))
    for process in (wrapper, *wrapper.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):  # a short-lived process of the script itself
            process.kill()
    watch.until_ended(10)
    report = watch.reports[ref.key]
    assert (report.phase, report.reason, report.exit_code) == (Phase.FAILED, "Killed", 137)


def test_a_job_of_an_earlier_boot_is_lost_with_its_host(local: Local) -> None:
    ref = local.run("sleep 60")
    local.watch(ref).until_phase(Phase.RUNNING)
    pid, started, _ = ref.native_id.split(".")
    earlier = replace(ref, native_id=f"{pid}.{started}.00000000-0000-0000-0000-000000000000")
    report = local.connector.poll([earlier]).reports[ref.key]
    assert (report.phase, report.reason, report.exit_code) == (Phase.FAILED, "NodeLost", 137)


def test_a_process_that_reuses_a_jobs_pid_is_not_the_job(local: Local) -> None:
    ref = local.run("sleep 60")
    local.watch(ref).until_phase(Phase.RUNNING)
    pid, started, boot = ref.native_id.split(".")
    other = replace(ref, native_id=f"{pid}.{int(started) + 1}.{boot}")
    assert local.connector.poll([other]).reports[ref.key].reason == "Killed"
    local.connector.cancel([other])
    time.sleep(0.3)
    assert local.connector.poll([ref]).reports[ref.key].phase is Phase.RUNNING


def test_usage_is_what_was_requested(local: Local) -> None:
    watch = local.watch(local.run("true", demand=Demand(tasks=16, cpus_per_task=8, gpus_per_node={"": 1})))
    watch.until_ended()
    (report,) = watch.reports.values()
    assert (report.cpus, report.gpus, report.nodes) == (128, 1, 1)
    assert report.started_at is not None
    assert report.ended_at is not None


def test_an_attempt_that_never_came_to_start_is_fenced_after_a_minute(local: Local) -> None:
    ref = local.run("true")
    local.watch(ref).until_ended()
    folder = local.folder(ref)
    for name in ("native_id", "claim", "batch.started", "batch.ended"):
        (folder / name).unlink()
    assert isinstance(local.connector.find([ref])[ref.key], InDoubt)
    os.utime(folder, (1, 1))
    assert local.connector.find([ref]) == {ref.key: ABSENT}


def test_no_command_line_contains_a_secret(local: Local) -> None:
    secret = secrets.token_hex(16)
    main = Container("main", "", command=("/bin/sleep", "30"), env=(("TOKEN", secret),))
    ref = local.run("", containers=(main,))
    local.watch(ref).until_phase(Phase.RUNNING)
    assert processes_with(secret) == []
    script = (local.folder(ref) / "script").read_text()
    assert secret not in script
