"""The answer to one poll -> a report for each job that Slurm, or else the job's own folder, has news of. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sites.connectors.folder.outcomes import Section, Story, from_epoch, stories
from sites.connectors.slurm.output import Row, accounting_rows, exit_codes, queue_rows
from sites.connectors.slurm.states import ENDS, End, live
from sites.workload import Phase, Report

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sites.workload import JobRef

NOTHING = Section(0, [])
DISABLED = "accounting storage is disabled"
UNEXPLAINED = End(Phase.FAILED, "NodeLost", "The batch job left the queue, and nothing says how it ended.", 137)


@dataclass(frozen=True)
class SlurmAnswer:
    """The answer to one poll.

    queue, accounting, codes: by native id. stories: by key. with_folder: the keys whose folder the poll has read. uid:
    the account's own.
    """

    queue: Mapping[str, Row]
    accounting: Mapping[str, Row]
    codes: Mapping[str, int]
    stories: Mapping[str, Story]
    with_folder: frozenset[str]
    uid: str
    has_accounting: bool


def parse_answer(parts: Mapping[str, Section], account: str, *, has_accounting: bool) -> SlurmAnswer:
    """Parse the sections of programs/poll.sh. has_accounting: False if an earlier poll found none at the site."""
    accounting = parts.get("accounting", NOTHING)
    disabled = accounting.code != 0 and any(DISABLED in line for line in accounting.lines)
    return SlurmAnswer(
        queue={row.native_id: row for row in queue_rows(parts["queue"].lines)},
        accounting={row.native_id: row for row in accounting_rows(accounting.lines if accounting.code == 0 else [])},
        codes=exit_codes(parts.get("details", NOTHING).lines),
        stories=stories(parts["events"], parts["outcomes"], account),
        with_folder=frozenset(line.split("\t")[1] for line in parts["ended"].lines if "\t" in line),
        uid=parts["who"].lines[0],
        has_accounting=has_accounting and not disabled,
    )


def squeue_seconds(parts: Mapping[str, Section]) -> float:
    """Return how many seconds squeue took, by the site's clock, whose resolution is a hundredth of a second."""
    began, ended = parts["took"].lines[0].split()
    return float(ended) - float(began)


def reports(answer: SlurmAnswer, refs: Sequence[JobRef]) -> dict[str, Report]:
    """Return the reports by key. Sites reuse ids, so a job is ours only if its name holds the key too."""
    found: dict[str, Report] = {}
    for ref in refs:
        row = _ours(answer.queue, ref)
        if row and row.state not in ENDS:
            found[ref.key] = _live(row, ref, answer.stories.get(ref.key))
        elif ref.key in answer.with_folder and (report := _gone(answer, ref, row)):
            found[ref.key] = report
    return found


def _ours(rows: Mapping[str, Row], ref: JobRef) -> Row | None:
    row = rows.get(ref.native_id)
    return row if row and row.name == f"isthmus-{ref.key}" else None


def _live(row: Row, ref: JobRef, story: Story | None) -> Report:
    phase, reason, message = live(row.state, row.reason)
    story = story or Story()
    runs = phase is Phase.RUNNING
    return Report(
        ref.key,
        ref.native_id,
        phase,
        reason,
        message,
        containers=story.reports,
        # For a waiting job, squeue prints the expected start in the same column.
        started_at=from_epoch(row.start) if runs else None,
        cpus=row.cpus if runs else None,
        gpus=row.gpus if runs else None,
        nodes=row.nodes if runs else None,
        restart=story.restart,
        events=story.events,
    )


def _gone(answer: SlurmAnswer, ref: JobRef, queued: Row | None) -> Report | None:
    """Report a job that is no longer live in the queue: from the accounting, else the queue, else its own files."""
    story = answer.stories.get(ref.key, Story())
    accounted = _ours(answer.accounting, ref)
    if accounted and accounted.state in ENDS:
        return _ended(accounted, ref, story, answer.uid)
    if queued:
        # Some sites show FAILED for a moment right after a submission.
        is_too_early = queued.state == "FAILED" and from_epoch(queued.end) is None and not story.is_whole
        ended = replace(queued, exit_code=answer.codes.get(ref.native_id))
        return None if is_too_early else _ended(ended, ref, story, answer.uid)
    if story.is_whole or story.has_failed or (story.containers and not answer.has_accounting):
        return _from_files(ref, story)
    return _live(accounted, ref, story) if accounted else None


def _ended(row: Row, ref: JobRef, story: Story, uid: str) -> Report:
    end = ENDS[row.state]
    own_code = None if story.has_failed or (story.reports and row.exit_code == 0) else row.exit_code
    reason, message = _why(end, row, story, uid)
    return Report(
        ref.key,
        ref.native_id,
        end.phase,
        reason,
        message,
        exit_code=own_code if end.exit_code is None else end.exit_code,
        containers=story.reports,
        # For a job that was cancelled while it waited, Slurm prints its end as its start: it never started.
        started_at=None if row.start == row.end and not story.containers else from_epoch(row.start),
        ended_at=from_epoch(row.end),
        cpus=row.cpus,
        gpus=row.gpus,
        nodes=row.nodes,
        restart=story.restart,
        events=story.events,
    )


def _why(end: End, row: Row, story: Story, uid: str) -> tuple[str, str]:
    """Return the reason and the message of an end."""
    if end.phase is Phase.CANCELLED and row.by and row.by != uid:
        return end.reason, f"The batch job was cancelled at the site by its user {row.by}."
    if end.reason or end.phase is Phase.SUCCEEDED:
        return end.reason, end.message
    if story.reasons:
        return next(iter(story.reasons.values()))
    return ("", "") if story.containers or not story.last_line else ("Error", f"The batch job said: {story.last_line}")


def _from_files(ref: JobRef, story: Story) -> Report:
    if story.has_failed:
        end = End(Phase.FAILED, *next(iter(story.reasons.values()), ("", "")))
    else:
        end = ENDS["COMPLETED"] if story.is_whole else UNEXPLAINED
    return Report(
        ref.key,
        ref.native_id,
        end.phase,
        end.reason,
        end.message,
        exit_code=end.exit_code,
        containers=story.reports,
        started_at=story.first_start,
        ended_at=story.last_end,
        restart=story.restart,
        events=story.events,
    )
