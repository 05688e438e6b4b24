"""Slurm's words -> what Kubernetes users expect to read."""

from __future__ import annotations

import pytest

from sites.connectors.base import InDoubt, Rejected
from sites.connectors.slurm.refusals import is_silence, refusal
from sites.connectors.slurm.states import ENDS, LIVE, REASONS, live, waiting
from sites.workload import Phase

FAILED = "sbatch: error: Batch job submission failed: "
POLICY = f"{FAILED}Job violates accounting/QOS policy (job submit limit, user's size and/or time limits)"


@pytest.mark.parametrize(
    ("state", "phase", "reason", "code"),
    [
        ("COMPLETED", Phase.SUCCEEDED, "", None),
        ("FAILED", Phase.FAILED, "", None),
        ("CANCELLED", Phase.CANCELLED, "Cancelled", 143),
        ("TIMEOUT", Phase.FAILED, "DeadlineExceeded", 124),
        ("DEADLINE", Phase.FAILED, "DeadlineExceeded", 124),
        ("OUT_OF_MEMORY", Phase.FAILED, "OOMKilled", 137),
        ("NODE_FAIL", Phase.FAILED, "NodeLost", 137),
        ("BOOT_FAIL", Phase.FAILED, "NodeLost", 137),
        ("PREEMPTED", Phase.FAILED, "Preempted", 143),
    ],
)
def test_an_end_has_the_reason_and_the_code_that_kubernetes_users_expect(
    state: str, phase: Phase, reason: str, code: int | None
) -> None:
    end = ENDS[state]
    assert (end.phase, end.reason, end.exit_code) == (phase, reason, code)


def test_every_sentence_is_a_whole_sentence() -> None:
    sentences = [end.message for end in ENDS.values()] + [message for _, message in LIVE.values()] + [*REASONS.values()]
    assert [text for text in sentences if text and not (text[0].isupper() and text.endswith("."))] == []


@pytest.mark.parametrize(
    ("reason", "sentence"),
    [
        ("Resources", "Waits for free nodes."),
        ("None", "Waits in the site's queue."),
        (
            "QOSMaxJobsPerUserLimit",
            "A limit of its quality of service for each user or job is reached (QOSMaxJobsPerUserLimit).",
        ),
        ("AssocGrpCPUMinutesLimit", "The limit of its account at the site is used up (AssocGrpCPUMinutesLimit)."),
        ("ReqNodeNotAvail, UnavailableNodes:n[1-4]", "The nodes it needs are down, drained or reserved"),
        ("SomethingNew", "Slurm's reason for the wait: SomethingNew."),
    ],
)
def test_a_waiting_job_has_its_reason_as_a_sentence(reason: str, sentence: str) -> None:
    assert waiting(reason).startswith(sentence)


def test_unknown_words_are_passed_on_readably() -> None:
    assert live("HIBERNATING", "") == (Phase.PENDING, "Hibernating", "Slurm says: HIBERNATING.")
    assert live("PENDING", "launch failed requeued held")[1] == "LaunchFailedRequeuedHeld"
    assert live("PENDING", "ReqNodeNotAvail, UnavailableNodes:n1")[1] == "ReqNodeNotAvail"


def test_a_requeued_job_is_pending_and_a_suspended_one_still_runs() -> None:
    assert live("REQUEUED", "None")[0] is Phase.PENDING
    assert live("SUSPENDED", "None") == (Phase.RUNNING, "Suspended", "The site has suspended it.")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (
            f"sbatch: error: invalid partition specified: nope\n{FAILED}Invalid partition name specified",
            "InvalidPartition",
        ),
        (f"{FAILED}Invalid account or account/partition combination specified", "InvalidAccount"),
        (f"{FAILED}Requested node configuration is not available", "ImpossibleRequest"),
        ("sbatch: error: Memory specification can not be satisfied", "ImpossibleRequest"),
        ("sbatch: error: Invalid generic resource (gres) specification", "InvalidGres"),
        (f"{FAILED}Requested time limit is invalid (missing or exceeds some limit)", "InvalidTimeLimit"),
        (f"sbatch: error: QOSMaxWallDurationPerJobLimit\n{POLICY}", "LimitExceeded"),
        ("sbatch: error: lua: give a project with --account", "SiteRejected"),
    ],
)
def test_a_refusal_is_reported_in_slurms_words(said: str, reason: str) -> None:
    answer = refusal(said)
    assert isinstance(answer, Rejected)
    assert answer.reason == reason
    assert "sbatch:" not in answer.message
    assert answer.message.startswith("Slurm refused the job: ")
    assert answer.message.endswith(".")


@pytest.mark.parametrize(
    "said",
    [
        f"{FAILED}Unable to contact slurm controller (connect failure)",
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
        f"sbatch: error: AssocMaxSubmitJobLimit\n{POLICY}",
        f"sbatch: error: QOSMaxSubmitJobPerUserLimit\n{POLICY}",
        "sbatch: error: If munged is up, restart with --num-threads=10\nsbatch: error: Munge encode failed",
        f"{FAILED}Required partition not available (inactive or drain)",
    ],
)
def test_a_temporary_refusal_permits_another_attempt(said: str) -> None:
    assert isinstance(refusal(said), InDoubt)


def test_slurms_silence_is_distinguished_from_its_refusal() -> None:
    assert is_silence(
        "sbatch: error: Batch job submission failed: Unable to contact slurm controller (connect failure)"
    )
    assert is_silence("timeout: failed to run command 'sbatch': No such file or directory")
    assert not is_silence("sbatch: error: AssocMaxSubmitJobLimit")
