"""Whatever is killed, and whenever: no pod is lost and none runs twice. Real processes, and a real Slurm over SSH.

One stack receives burst after burst of pods while its parts are killed: first the worker at each step of a submission,
then KILL_POINTS times at random (20; `make soak POINTS=200`). The run does not wait in between, so the effects of one
kill meet the next. At the end every pod is checked. KILL_SEED repeats a run's plan, and KILL_KEEP=1 keeps its folder
with the logs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from jobs.states import ENDS, MOVES, State
from tests.kills.fixtures import POINTS, aftermath, folder, slurm_backend, ssh_backend, stack
from tests.kills.load import LONG

if TYPE_CHECKING:
    from tests.kills.aftermath import Aftermath, Row
    from tests.kills.load import Sent
    from tests.kills.stack import Stack

__all__ = ["aftermath", "folder", "slurm_backend", "ssh_backend", "stack"]

# The first test carries out all points. A point takes seconds, the slowest half a minute.
pytestmark = pytest.mark.timeout(600 + 30 * POINTS)


def test_every_job_has_ended(aftermath: Aftermath) -> None:
    """No job is left in `submitting` or any other live state, and Slurm has none of their batch jobs."""
    assert not [row for row in aftermath.rows.values() if State(row.state) not in ENDS]
    assert not aftermath.alive


def test_every_answered_pod_has_exactly_one_batch_job(aftermath: Aftermath) -> None:
    assert aftermath.kept
    assert not [f"{sent}: {aftermath.row(sent)}" for sent in aftermath.kept if aftermath.batch_jobs_of(sent) != 1]
    assert not [f"{sent}: {aftermath.row(sent)}" for sent in aftermath.kept if aftermath.load.runs_of(sent) != 1]


def test_every_other_pod_has_at_most_one_batch_job(aftermath: Aftermath) -> None:
    """The others are pods whose create was not answered, and deleted pods."""
    others = [sent for sent in aftermath.load.sent if sent not in aftermath.kept]
    assert not [f"{sent}: {aftermath.row(sent)}" for sent in others if aftermath.batch_jobs_of(sent) > 1]
    assert not [f"{sent}: {aftermath.row(sent)}" for sent in others if aftermath.load.runs_of(sent) > 1]


def test_slurm_has_only_the_batch_job_of_each_pods_last_attempt(aftermath: Aftermath) -> None:
    """So no fenced or abandoned attempt ever had one."""
    last = {row.attempt_key for row in aftermath.rows.values()}
    assert not aftermath.batch_jobs.keys() - last
    assert not aftermath.batch_jobs.keys() & aftermath.abandoned


def test_every_pod_that_was_not_deleted_ends_as_its_script_says(aftermath: Aftermath) -> None:
    wrong = []
    for sent in aftermath.load.sent:
        row = aftermath.row(sent)
        if row and sent.delete is None and (row.state, row.exit_code) != _own_end(sent):
            wrong.append(f"{sent}: {row}")
    assert not wrong


def test_the_kubelet_saw_the_same_end(aftermath: Aftermath) -> None:
    phases = {"succeeded": "Succeeded", "failed": "Failed"}
    assert not [f"{sent}: {sent.pod.phase}" for sent in aftermath.kept if sent.pod.phase != phases[_own_end(sent)[0]]]


def test_the_kubelet_never_got_an_answer_that_it_cannot_survive(aftermath: Aftermath) -> None:
    assert aftermath.load.kubelet.panic is None
    assert not [sent.pod.complaints for sent in aftermath.load.sent if sent.pod.complaints]


def test_a_deleted_pod_is_cancelled_or_had_ended(aftermath: Aftermath) -> None:
    """A long-running one cannot have ended before."""
    wrong = []
    for sent in aftermath.load.sent:
        row = aftermath.row(sent)
        if row and sent.delete == 200 and not _rightly_gone(sent, row):
            wrong.append(f"{sent}: {row}")
    assert not wrong


def test_every_batch_job_has_exactly_one_usage_record(aftermath: Aftermath) -> None:
    assert not [row for row in aftermath.rows.values() if row.usages != bool(row.native_id)]
    assert not [row for row in aftermath.rows.values() if aftermath.batch_jobs[row.attempt_key] != row.usages]


def test_every_history_is_a_chain_of_allowed_moves_with_one_end(aftermath: Aftermath) -> None:
    for row in aftermath.rows.values():
        (before, first), *moves = row.history
        assert before == "", row
        assert [new for _, new in row.history if State(new) in ENDS] == [row.state], row
        for old, new in moves:
            assert (old, State(new) in MOVES[State(old)]) == (first, True), row
            first = new


def test_no_process_has_ended_by_itself(aftermath: Aftermath, stack: Stack) -> None:
    assert aftermath.rows
    assert not stack.dead()


def test_the_kills_reached_each_step(aftermath: Aftermath) -> None:
    """Otherwise the tests above prove little: some creates must be unanswered, and some attempts abandoned."""
    assert not [str(point) for point in aftermath.strikes.missed if point.is_named]
    assert not all(sent.answered for sent in aftermath.load.sent)
    assert aftermath.abandoned


def _own_end(sent: Sent) -> tuple[str, int | None]:
    return ("failed", sent.kind.exit_code) if sent.kind.exit_code else ("succeeded", None)


def _rightly_gone(sent: Sent, row: Row) -> bool:
    return row.state == "cancelled" or (sent.kind is not LONG and (row.state, row.exit_code) == _own_end(sent))
