"""One poll's answer -> reports: which source is believed for which fact, and what stays unknown."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from sites.connectors.base import Unreachable
from sites.connectors.folder.outcomes import recorded_of, sections
from sites.connectors.slurm.reports import parse_answer, reports, squeue_seconds
from sites.workload import ContainerReport, JobRef, Phase, Report

KEY = "ab12cd34"
NAME = f"isthmus-{KEY}"
REF = JobRef(KEY, "7", f"base/{KEY}")


def at(epoch: int) -> datetime:
    return datetime.fromtimestamp(epoch, UTC)


def poll(
    queue: str = "",
    accounting: str | None = None,
    details: str = "",
    outcomes: tuple[str, ...] = (),
    events: tuple[str, ...] = (),
    *,
    failed: bool = False,
) -> dict[str, Report]:
    """Return the report of a poll with one job; outcomes: `<container> <kind> <text>` of its first run."""
    ended = f"7\t{KEY}\tbase/{KEY}\tx" if "RUNNING" not in queue and "PENDING" not in queue else ""
    told = "\n".join(f"{KEY}\t0\t" + "\t".join(line.split(" ", 2)) for line in outcomes)
    listed = "\n".join(["base/", *events])
    parts = [("queue", 0, queue), ("ended", 0, ended)]
    if accounting is not None:
        parts.append(("accounting", int(failed), accounting))
    parts += [("details", 0, details), ("events", 0, listed), ("outcomes", 0, told), ("who", 0, "1001"), ("end", 0, "")]
    output = "".join(f"\ntoken {name} {code}\n{text}\n" for name, code, text in parts)
    answer = parse_answer(sections(output.encode(), "token", "a site"), "", has_accounting=accounting is not None)
    return reports(answer, [REF])


def test_a_running_jobs_containers_are_read_from_events() -> None:
    report = poll(
        f"7|RUNNING|100|900|1|4|N/A|None|{NAME}",
        events=(f"{KEY}.0.init.started.101.-", f"{KEY}.0.init.ended.102.0", f"{KEY}.0.main.started.102.-"),
    )[KEY]
    assert (report.phase, report.started_at, report.ended_at, report.cpus) == (Phase.RUNNING, at(100), None, 4)
    assert report.containers == (
        ContainerReport("init", at(101), at(102), 0),
        ContainerReport("main", at(102)),
    )
    assert len(report.events) == 3


def test_a_waiting_job_has_not_started_although_slurm_predicts_a_start() -> None:
    report = poll(f"7|PENDING|1900000000|N/A|1|4|N/A|Resources|{NAME}")[KEY]
    assert (report.phase, report.started_at, report.cpus) == (Phase.PENDING, None, None)
    assert (report.reason, report.message) == ("Resources", "Waits for free nodes.")


def test_a_job_of_another_name_under_our_id_is_not_ours() -> None:
    assert poll("7|RUNNING|100|900|1|4|N/A|None|isthmus-99999999") == {}
    assert poll("", "7|COMPLETED|0:0|100|200|1|4|cpu=4|isthmus-99999999") == {}


def test_times_are_the_sites_own_however_wrong_its_clock_is() -> None:
    future = poll("", f"7|COMPLETED|0:0|4000000000|4000000100|1|4|cpu=4|{NAME}")[KEY]
    past = poll("", f"7|COMPLETED|0:0|1|101|1|4|cpu=4|{NAME}")[KEY]
    assert (future.started_at, future.ended_at) == (at(4_000_000_000), at(4_000_000_100))
    assert (past.started_at, past.ended_at) == (at(1), at(101))


def test_a_container_that_failed_by_itself_keeps_its_exit_code() -> None:
    report = poll("", f"7|FAILED|3:0|100|200|1|4|cpu=4|{NAME}", outcomes=("main started 100", "main ended 199 3"))[KEY]
    assert (report.phase, report.reason, report.exit_code) == (Phase.FAILED, "", None)
    assert report.containers == (ContainerReport("main", at(100), at(199), 3),)


def test_without_outcome_files_the_batch_jobs_exit_code_is_used() -> None:
    failed = poll("", f"7|FAILED|125:0|100|200|1|4|cpu=4|{NAME}", outcomes=("- said isthmus: the disk is full",))[KEY]
    assert (failed.exit_code, failed.message) == (125, "The batch job said: isthmus: the disk is full")
    succeeded = poll("", f"7|COMPLETED|0:0|100|200|1|4|cpu=4|{NAME}")[KEY]
    assert (succeeded.phase, succeeded.exit_code) == (Phase.SUCCEEDED, 0)


def test_the_wrappers_message_is_the_reason_of_its_failure() -> None:
    outcomes = ("main ended 100 125", "main reason ImageMissing There is no image busybox.")
    report = poll("", f"7|FAILED|125:0|100|200|1|4|cpu=4|{NAME}", outcomes=outcomes)[KEY]
    assert (report.reason, report.message) == ("ImageMissing", "There is no image busybox.")


@pytest.mark.parametrize(("state", "code"), [("TIMEOUT", 124), ("OUT_OF_MEMORY", 137), ("PREEMPTED", 143)])
def test_an_end_by_the_site_has_its_own_code_beside_the_containers(state: str, code: int) -> None:
    report = poll("", f"7|{state}|0:15|100|200|1|4|cpu=4|{NAME}", outcomes=("main ended 199 143",))[KEY]
    assert (report.exit_code, report.containers[0].exit_code) == (code, 143)


def test_a_job_cancelled_by_another_user_names_the_user() -> None:
    assert "user 0." in poll("", f"7|CANCELLED by 0|0:15|100|200|1|4|cpu=4|{NAME}")[KEY].message
    assert "user" not in poll("", f"7|CANCELLED by 1001|0:15|100|200|1|4|cpu=4|{NAME}")[KEY].message


def test_a_job_cancelled_while_it_waited_never_started() -> None:
    assert poll(f"7|CANCELLED|200|200|1|4|N/A|None|{NAME}")[KEY].started_at is None


def test_without_accounting_the_queue_and_scontrol_give_the_end() -> None:
    details = f"JobId=7 JobName={NAME} ExitCode=5:0 Restarts=0"
    report = poll(f"7|FAILED|100|200|2|8|gres:gpu:1|NonZeroExitCode|{NAME}", details=details)[KEY]
    assert (report.exit_code, report.nodes, report.cpus, report.gpus) == (5, 2, 8, 2)


def test_a_failed_job_without_an_end_is_not_believed_yet() -> None:
    assert poll(f"7|FAILED|N/A|N/A|1|4|N/A|None|{NAME}") == {}


def test_without_accounting_a_job_gone_from_the_queue_is_read_from_its_files() -> None:
    report = poll("", outcomes=("main staged ", "main started 100", "main ended 150 0"))[KEY]
    assert (report.phase, report.started_at, report.ended_at) == (Phase.SUCCEEDED, at(100), at(150))
    failed = poll("", outcomes=("init staged ", "main staged ", "init started 100", "init ended 150 9"))[KEY]
    assert (failed.phase, failed.exit_code) == (Phase.FAILED, None)
    killed = poll("", outcomes=("main staged ", "main started 100"))[KEY]
    assert (killed.phase, killed.reason, killed.exit_code) == (Phase.FAILED, "NodeLost", 137)


def test_a_job_unknown_everywhere_without_files_is_unknown() -> None:
    assert poll("", outcomes=("main staged ",)) == {}
    assert poll("", "", outcomes=("main staged ", "main started 100")) == {}


def test_accounting_that_lags_behind_changes_nothing() -> None:
    report = poll("", f"7|RUNNING|0:0|100|Unknown|1|4|cpu=4|{NAME}")[KEY]
    assert (report.phase, report.ended_at) == (Phase.RUNNING, None)


def test_a_requeued_job_reports_only_its_latest_run() -> None:
    events = (f"{KEY}.0.main.started.101.-", f"{KEY}.0.main.ended.102.143", f"{KEY}.1.main.started.300.-")
    report = poll(f"7|RUNNING|299|900|1|4|N/A|None|{NAME}", events=events)[KEY]
    assert report.restart == 1
    assert report.containers == (ContainerReport("main", at(300), restart=1),)
    assert len(report.events) == 3


def test_a_truncated_answer_is_not_an_answer() -> None:
    with pytest.raises(Unreachable, match="incomplete"):
        sections(b"\ntoken queue 0\n7|RUNNING", "token", "a site")


def test_only_names_of_events_are_ever_removed() -> None:
    tokens = ["hpc:base/events/a", "hpc:base/events/../../.ssh/id", "hpc:/etc/passwd", "other:base/events/b"]
    assert recorded_of("hpc", tokens) == b"base/events/a\0"


def test_the_time_of_squeue_is_measured_by_the_sites_own_clock() -> None:
    parts = sections(b"\ntoken took 0\n40.25 40.75\n\ntoken end 0\n", "token", "a site")
    assert squeue_seconds(parts) == 0.5
