"""The protocol of docs/attempt-folder.md under failures: full disks, cut streams, hanging and lying schedulers."""

from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from sites.connectors.base import ABSENT, InDoubt, LogRequest, Rejected, Unreachable
from sites.connectors.shell.local import LocalShell
from sites.workload import File, Volume
from tests.sites.stand_in import StandIn, ref_of, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sites.connectors.shell.base import Completed
    from sites.workload import Workload

LONG_AGO = 1_000_000_000


@pytest.fixture
def site() -> Iterator[StandIn]:
    with stand_in() as made:
        yield made


class CutInTheTar(LocalShell):
    """A shell whose connection is lost half-way through the jobs' files."""

    def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
        return super()._exchange(loader, stdin[: len(stdin) * 2 // 3], timeout, account)


def fence(workload: Workload) -> set[str]:
    return {path.name for path in Path(workload.folder).iterdir()} & {"open", "submitting", "fenced"}


def in_doubt(site: StandIn) -> Workload:
    """Return an attempt for which it is unknown whether sbatch accepted it."""
    site.command("timeout", "exit 124")
    workload = site.workload()
    assert isinstance(site.connector().submit([workload])[workload.key], InDoubt)
    (site.folder / "bin/timeout").unlink()
    return workload


def age(workload: Workload) -> None:
    os.utime(workload.folder, (LONG_AGO, LONG_AGO))


def test_a_folder_is_private_and_secrets_even_more_so(site: StandIn) -> None:
    workload = site.workload()
    site.connector().submit([workload])
    folder = Path(workload.folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert (folder / "containers/main/env").stat().st_mode & 0o777 == 0o600
    assert (folder / "native_id").read_text().strip() in site.jobs


def test_an_incompletely_received_batch_launches_nothing(site: StandIn) -> None:
    workloads = [site.workload() for _ in range(3)]
    with pytest.raises(Unreachable, match="No job folder can be written"):
        site.connector(CutInTheTar(site.user)).submit(workloads)
    assert site.jobs == {}
    assert list((site.folder / "base/staging").iterdir()) == []
    refs = [ref_of(workload) for workload in workloads]
    assert site.connector().find(refs) == {ref.key: ABSENT for ref in refs}


@pytest.mark.skipif(os.geteuid() != 0, reason="a small disk needs root to mount it")
def test_a_full_disk_launches_nothing_and_is_reported(site: StandIn) -> None:
    disk = site.folder / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k,mode=777", "tmpfs", disk], check=True)
    try:
        workload = site.workload(base=str(disk / "base"))
        big = Volume("data", (File("big", bytes(1_000_000)),))
        with pytest.raises(Unreachable, match="is the disk full"):
            site.connector().submit([replace(workload, volumes=(big,))])
        assert site.jobs == {}
        assert site.connector().find([ref_of(workload)]) == {workload.key: ABSENT}
    finally:
        subprocess.run(["umount", disk], check=True)


def test_an_unwritable_base_is_reported_for_the_operator(site: StandIn) -> None:
    workload = site.workload(base="/proc/isthmus")
    with pytest.raises(Unreachable, match=r"No job folder can be written at this host: mkdir: cannot create .*\.$"):
        site.connector().submit([workload])
    with pytest.raises(Unreachable):
        site.connector().find([ref_of(workload)])


def test_a_file_that_the_site_cannot_store_refuses_only_its_own_pod(site: StandIn) -> None:
    good, bad = site.workload(), site.workload()
    volume = Volume("data", (File("x" * 300, b""),))
    answers = site.connector().submit([replace(bad, volumes=(volume,)), good])
    assert answers[good.key] in site.jobs
    refusal = answers[bad.key]
    assert isinstance(refusal, Rejected)
    assert "File name too long" in refusal.message
    assert list(site.jobs.values()) == [f"isthmus-{good.key}"]


def test_a_pod_that_is_larger_than_a_batch_is_refused(site: StandIn) -> None:
    volume = Volume("data", (File("big", bytes(33 * 1024 * 1024)),))
    workload = replace(site.workload(), volumes=(volume,))
    refusal = site.connector().submit([workload])[workload.key]
    assert isinstance(refusal, Rejected)
    assert refusal.reason == "TooLarge"


def test_a_path_that_leaves_the_folder_is_refused(site: StandIn) -> None:
    volume = Volume("data", (File("../../../escaped", b""),))
    workload = replace(site.workload(), volumes=(volume,))
    refusal = site.connector().submit([workload])[workload.key]
    assert isinstance(refusal, Rejected)
    assert refusal.reason == "BadPath"


def test_a_folder_that_is_not_named_like_a_key_is_never_touched(site: StandIn) -> None:
    with pytest.raises(Rejected, match="does not have the form"):
        site.connector().clean([replace(ref_of(site.workload()), folder="precious/data")])


def test_an_attempt_that_was_never_staged_is_fenced_for_good(site: StandIn) -> None:
    workload = site.workload()
    connector = site.connector()
    assert connector.find([ref_of(workload)]) == {workload.key: ABSENT}
    assert isinstance(connector.submit([workload])[workload.key], InDoubt)
    assert connector.find([ref_of(workload)]) == {workload.key: ABSENT}
    assert site.jobs == {}


def test_an_incompletely_written_native_id_does_not_count(site: StandIn) -> None:
    workload = in_doubt(site)
    Path(workload.folder, "native_id").write_text("12")
    assert isinstance(site.connector().find([ref_of(workload)])[workload.key], InDoubt)
    Path(workload.folder, "native_id").write_text("123\n")
    assert site.connector().find([ref_of(workload)]) == {workload.key: "123"}


def test_the_claim_of_a_running_job_gives_its_native_id(site: StandIn) -> None:
    workload = in_doubt(site)
    Path(workload.folder, "claim").write_text("77\n")
    assert site.connector().find([ref_of(workload)]) == {workload.key: "77"}


def test_a_launch_that_hangs_is_in_doubt_for_a_minute(site: StandIn) -> None:
    workload = in_doubt(site)
    site.command("squeue", "echo never asked >&2; exit 1")
    assert isinstance(site.connector().find([ref_of(workload)])[workload.key], InDoubt)
    assert fence(workload) == {"submitting"}


def test_after_a_minute_the_queue_settles_a_hung_launch(site: StandIn) -> None:
    workload = in_doubt(site)
    site.command("squeue", f"echo '4711|isthmus-{workload.key}'")
    age(workload)
    assert site.connector().find([ref_of(workload)]) == {workload.key: "4711"}
    assert Path(workload.folder, "native_id").read_text() == "4711\n"


def test_after_a_minute_the_accounting_settles_an_ended_job(site: StandIn) -> None:
    workload = in_doubt(site)
    site.command("sacct", f"echo '4712|isthmus-{workload.key}'")
    age(workload)
    assert site.connector().find([ref_of(workload)]) == {workload.key: "4712"}


def test_after_a_minute_an_attempt_unknown_to_slurm_is_fenced(site: StandIn) -> None:
    workload = in_doubt(site)
    age(workload)
    assert site.connector().find([ref_of(workload)]) == {workload.key: ABSENT}
    assert fence(workload) == {"fenced"}


def test_an_attempt_is_not_fenced_while_slurm_or_its_accounting_is_silent(site: StandIn) -> None:
    workload = in_doubt(site)
    site.command("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    age(workload)
    with pytest.raises(Unreachable, match="Unable to contact"):
        site.connector().find([ref_of(workload)])
    site.command("squeue", "exit 0")
    site.command("sacct", "echo 'sacct: error: slurm_persist_conn_open: Connection refused' >&2; exit 1")
    age(workload)
    assert isinstance(site.connector().find([ref_of(workload)])[workload.key], InDoubt)
    assert fence(workload) == {"submitting"}


def test_a_fenced_attempt_keeps_nothing_of_its_pod(site: StandIn) -> None:
    workload = in_doubt(site)
    age(workload)
    site.connector().find([ref_of(workload)])
    assert {path.name for path in Path(workload.folder).iterdir()} <= {"fenced", "run"}


def test_simultaneous_submit_and_find_never_both_succeed(site: StandIn) -> None:
    connector = site.connector()
    for _ in range(10):
        workload = site.workload()
        with ThreadPoolExecutor(1) as other:
            submitting = other.submit(connector.submit, [workload])
            found = connector.find([ref_of(workload)])[workload.key]
        launched = f"isthmus-{workload.key}" in site.jobs.values()
        assert not (found is ABSENT and launched)
        assert launched == isinstance(submitting.result()[workload.key], str)


def test_logs_of_the_latest_run_are_read_from_any_byte(site: StandIn) -> None:
    workload = site.workload()
    for run, text in (("9", b"old"), ("10", b"\0new\xff\n")):
        folder = Path(workload.folder, "run", run)
        folder.mkdir(parents=True)
        (folder / "main.log").write_bytes(text)
    ref = ref_of(workload)
    asked = [
        LogRequest(ref, "main"),
        LogRequest(ref, "main", 1, 3),
        LogRequest(ref, "main", 99),
        LogRequest(ref, "other"),
    ]
    assert site.connector().read_logs(asked) == [b"\0new\xff\n", b"new", b"", None]


def test_cleaning_removes_only_its_own_jobs_events(site: StandIn) -> None:
    kept, gone = site.workload(), site.workload()
    site.connector().submit([kept, gone])
    events = site.folder / "base/events"
    for workload in (kept, gone):
        (events / f"{workload.key}.0.main.started.1.-").touch()
    site.connector().clean([ref_of(gone)])
    assert [path.name for path in events.iterdir()] == [f"{kept.key}.0.main.started.1.-"]
    assert Path(kept.folder).exists()
    assert not Path(gone.folder).exists()
