"""A Slurm that refuses, is down, forgets or lies: a sentence for each, nothing lost, nothing done twice."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from sites.connections import open_connector
from sites.connectors.base import ABSENT, InDoubt, Rejected, Unreachable
from sites.connectors.config import BadConfig
from sites.connectors.shell.local import LocalShell
from sites.workload import Phase
from tests.sites.stand_in import NO_ACCOUNTING, SBATCH, StandIn, ref_of, stand_in

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sites.connectors.shell.base import Completed

AWAY = "echo 'sbatch: error: Unable to contact slurm controller (connect failure)' >&2; exit 1"


@pytest.fixture
def site() -> Iterator[StandIn]:
    with stand_in() as made:
        yield made


def test_a_warning_of_sbatch_is_not_a_failure(site: StandIn) -> None:
    site.command("sbatch", f"echo 'sbatch: warning: 42' >&2\n{SBATCH.format(folder=site.folder)}")
    workload = site.workload()
    assert site.connector().submit([workload])[workload.key] in site.jobs


def test_a_cluster_name_after_the_job_id_is_ignored(site: StandIn) -> None:
    site.command("sbatch", "echo '12;cluster'")
    workload = site.workload()
    assert site.connector().submit([workload]) == {workload.key: "12"}


def test_a_refused_job_is_rejected_and_never_runs(site: StandIn) -> None:
    site.command("sbatch", "echo 'sbatch: error: Invalid qos specification' >&2; exit 1")
    workload = site.workload()
    answer = site.connector().submit([workload])[workload.key]
    assert isinstance(answer, Rejected)
    assert answer.message == "Slurm refused the job: Invalid qos specification."
    assert site.connector().find([ref_of(workload)]) == {workload.key: ABSENT}


def test_a_full_queue_permits_another_attempt_at_once(site: StandIn) -> None:
    site.command("sbatch", "echo 'sbatch: error: AssocMaxSubmitJobLimit' >&2; exit 1")
    workload = site.workload()
    answer = site.connector().submit([workload])[workload.key]
    assert isinstance(answer, InDoubt)
    assert "AssocMaxSubmitJobLimit" in answer.message
    assert site.connector().find([ref_of(workload)]) == {workload.key: ABSENT}


def test_a_slurm_that_is_down_is_called_once_and_every_attempt_may_be_repeated(site: StandIn) -> None:
    site.command("sbatch", f"echo >> {site.folder}/sbatch.calls\n{AWAY}")
    workloads = [site.workload() for _ in range(20)]
    with pytest.raises(Unreachable, match=r"Slurm at this host does not answer: .*Unable to contact.*\.$"):
        site.connector().submit(workloads)
    assert site.calls("sbatch") == 1
    refs = [ref_of(workload) for workload in workloads]
    assert site.connector().find(refs) == {ref.key: ABSENT for ref in refs}


def test_a_slurm_that_goes_down_during_a_batch_keeps_the_accepted_jobs(site: StandIn) -> None:
    taking = SBATCH.format(folder=site.folder)
    site.command(
        "sbatch", f"[ ! -e {site.folder}/jobs ] || [ $(wc -l < {site.folder}/jobs) -lt 3 ] || {{ {AWAY}; }}\n{taking}"
    )
    workloads = [site.workload() for _ in range(10)]
    answers = site.connector().submit(workloads)
    natives = [answer for answer in answers.values() if isinstance(answer, str)]
    assert sorted(natives) == sorted(site.jobs)
    assert len(natives) == 3
    found = site.connector().find([ref_of(workload) for workload in workloads])
    assert sum(answer is ABSENT for answer in found.values()) == 7


def test_missing_slurm_commands_are_reported_for_the_operator(site: StandIn) -> None:
    site.command("sbatch", "exit 0")
    (site.folder / "bin/sbatch").unlink()
    site.command("timeout", "echo \"timeout: failed to run command '$2': No such file or directory\" >&2; exit 127")
    with pytest.raises(Unreachable, match="failed to run command 'sbatch'"):
        site.connector().submit([site.workload()])


def test_a_silent_queue_is_never_an_empty_one(site: StandIn) -> None:
    site.command("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    ref = ref_of(site.workload(), "7")
    with pytest.raises(Unreachable, match="Unable to contact slurm controller"):
        site.connector().poll([ref])
    with pytest.raises(Unreachable, match="Unable to contact slurm controller"):
        site.connector().cancel([ref])


def test_each_of_two_simultaneous_polls_reports_its_own_squeue_time(site: StandIn) -> None:
    site.command("squeue", f"mkdir {site.folder}/first 2>/dev/null && sleep 1.2; exit 0")
    connector = site.connector()
    with ThreadPoolExecutor(2) as threads:
        polls = [threads.submit(connector.poll, [ref_of(site.workload(), "7")]) for _ in range(2)]
    quick, slow = sorted(poll.result().scheduler_seconds for poll in polls)
    assert quick < 1 <= slow


def test_missing_accounting_is_detected_once(site: StandIn) -> None:
    site.command("sacct", f"echo >> {site.folder}/sacct.calls\n{NO_ACCOUNTING}")
    connector = site.connector()
    ref = ref_of(site.workload(), "7")
    for _ in range(3):
        assert connector.poll([ref]).reports == {}
    assert site.calls("sacct") == 1


def test_accounting_that_is_down_is_called_again(site: StandIn) -> None:
    site.command("sacct", f"echo >> {site.folder}/sacct.calls; echo 'Connection refused' >&2; exit 1")
    connector = site.connector()
    ref = ref_of(site.workload(), "7")
    for _ in range(3):
        assert connector.poll([ref]).reports == {}
    assert site.calls("sacct") == 3


def test_the_accounting_is_only_queried_for_jobs_that_left_the_queue(site: StandIn) -> None:
    live, gone = site.workload(), site.workload()
    site.command("squeue", f"echo '7|RUNNING|100|900|1|1|N/A|None|isthmus-{live.key}'")
    site.command(
        "sacct", f'echo "$@" > {site.folder}/asked; echo "8|COMPLETED|0:0|100|200|1|1|cpu=1|isthmus-{gone.key}"'
    )
    reports = site.connector().poll([ref_of(live, "7"), ref_of(gone, "8")]).reports
    assert {key: report.phase for key, report in reports.items()} == {
        live.key: Phase.RUNNING,
        gone.key: Phase.SUCCEEDED,
    }
    assert "-j 8 " in (site.folder / "asked").read_text()


def test_only_jobs_that_carry_our_key_are_cancelled(site: StandIn) -> None:
    ours, other, ended = site.workload(), site.workload(), site.workload()
    site.command("squeue", f"echo '7|isthmus-{ours.key}'; echo '8|somebody-elses'")
    site.command("scancel", f'echo "$@" > {site.folder}/cancelled')
    site.connector().cancel([ref_of(ours, "7"), ref_of(other, "8"), ref_of(ended, "9"), ref_of(ended)])
    assert (site.folder / "cancelled").read_text() == "-Q 7\n"


def test_a_cancellation_that_slurm_forbids_is_rejected(site: StandIn) -> None:
    ours = site.workload()
    site.command("squeue", f"echo '7|isthmus-{ours.key}'")
    site.command("scancel", "echo 'scancel: error: Kill job error on job id 7: Access/permission denied' >&2; exit 1")
    with pytest.raises(Rejected, match="permission denied"):
        site.connector().cancel([ref_of(ours, "7")])


class Profiled(LocalShell):
    """A login shell whose profile sets variables for Slurm's commands."""

    def _exchange(self, loader: str, stdin: bytes, timeout: float, account: str) -> Completed:
        exports = "export SQUEUE_FORMAT=%x SLURM_JWT=x SBATCH_EXPORT=ALL SLURM_CONF=/site/slurm.conf"
        return super()._exchange(f"{exports}; {loader}", stdin, timeout, account)


def test_a_login_profiles_variables_do_not_change_our_commands(site: StandIn) -> None:
    site.command("squeue", f"env > {site.folder}/environment")
    ref = ref_of(site.workload(), "7")
    site.connector(Profiled(site.user)).poll([ref])
    seen = set((site.folder / "environment").read_text().splitlines())
    assert {line for line in seen if line.startswith(("SLURM_", "SQUEUE_", "SBATCH_"))} == {
        "SLURM_TIME_FORMAT=%s",
        "SLURM_CONF=/site/slurm.conf",
    }
    site.connector(Profiled(site.user), env=(("SLURM_CONF", "/ours"),)).poll([ref])
    assert "SLURM_CONF=/ours" in (site.folder / "environment").read_text().splitlines()


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        ({}, "setting 'runtime.kind' is missing"),
        ({"runtime": {"kind": "docker"}}, "no container runtime 'docker'"),
        ({"runtime": {"kind": "host"}, "base": "../x"}, "setting 'base' must be a plain path"),
        ({"runtime": {"kind": "host"}, "extra_options": ["-A x"]}, "'-A x' in `extra_options`"),
        ({"runtime": {"kind": "host"}, "partitoin": "x"}, "'partitoin' is not known"),
        ({"runtime": {"kind": "host"}, "env": {"A B": "c"}}, "setting 'env' must be an object of variables"),
        ({"runtime": {"kind": "host"}, "requeue": "yes"}, "setting 'requeue' must be true or false"),
        ({"runtime": {"kind": "host"}, "ssh": {"user": "me"}}, "setting 'ssh.host' is missing"),
        ({"runtime": {"kind": "host"}, "ssh": {"host": "h", "user": "me"}}, "No host key of h is pinned"),
        ({"runtime": {"kind": "host"}, "ssh": "me@h"}, "setting 'ssh' must be an object"),
    ],
)
def test_a_wrong_setting_is_named_in_one_sentence(config: dict[str, object], sentence: str) -> None:
    with pytest.raises(BadConfig, match=sentence):
        open_connector("slurm", config)


def test_an_unknown_kind_of_site_is_named() -> None:
    with pytest.raises(BadConfig, match="no connector 'pbs'"):
        open_connector("pbs", {})
