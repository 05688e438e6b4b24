"""One poll's answer -> a report for each job Slurm, or else the job's own folder, has news of. Pure."""

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
UNTOLD = End(Phase.FAILED, "NodeLost", "The batch job left the queue without telling how it ended.", 137)


@dataclass(frozen=True)
class Answer:
    """What one poll brought: jobs by native id. looked: keys whose folder was read; who: the account's own uid."""

    queue: Mapping[str, Row]
    accounting: Mapping[str, Row]
    codes: Mapping[str, int]
    told: Mapping[str, Story]
    looked: frozenset[str]
    who: str
    has_accounting: bool


def read_answer(parts: Mapping[str, Section], account: str, *, has_accounting: bool) -> Answer:
    """Sections of programs/poll.sh -> records. has_accounting: what earlier polls have taught of this site."""
    asked = parts.get("accounting", NOTHING)
    disabled = asked.code != 0 and any(DISABLED in line for line in asked.lines)
    return Answer(
        queue={row.native_id: row for row in queue_rows(parts["queue"].lines)},
        accounting={row.native_id: row for row in accounting_rows(asked.lines if asked.code == 0 else [])},
        codes=exit_codes(parts.get("details", NOTHING).lines),
        told=stories(parts["events"], parts["outcomes"], account),
        looked=frozenset(line.split("\t")[1] for line in parts["ended"].lines if "\t" in line),
        who=parts["who"].lines[0],
        has_accounting=has_accounting and not disabled,
    )


def squeue_seconds(parts: Mapping[str, Section]) -> float:
    """How long squeue took, by the site's own clock: hundredths of a second are what it tells."""
    began, ended = parts["took"].lines[0].split()
    return float(ended) - float(began)


def reports(answer: Answer, refs: Sequence[JobRef]) -> dict[str, Report]:
    """A report by key. Ids are used again at a site: a job is ours only if its name carries the key as well."""
    found: dict[str, Report] = {}
    for ref in refs:
        row = _ours(answer.queue, ref)
        if row and row.state not in ENDS:
            found[ref.key] = _live(row, ref, answer.told.get(ref.key))
        elif ref.key in answer.looked and (report := _gone(answer, ref, row)):
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
        # squeue prints when a waiting job is expected to start in the same column.
        started_at=from_epoch(row.start) if runs else None,
        cpus=row.cpus if runs else None,
        gpus=row.gpus if runs else None,
        nodes=row.nodes if runs else None,
        restart=story.restart,
        events=story.events,
    )


def _gone(answer: Answer, ref: JobRef, queued: Row | None) -> Report | None:
    """A job that is no longer live in the queue: the accounting knows best, then the queue, then its own files."""
    story = answer.told.get(ref.key, Story())
    accounted = _ours(answer.accounting, ref)
    if accounted and accounted.state in ENDS:
        return _ended(accounted, ref, story, answer.who)
    if queued and not _is_too_early(queued, story):
        return _ended(replace(queued, exit_code=answer.codes.get(ref.native_id)), ref, story, answer.who)
    if queued:
        return None
    if story.is_whole or story.has_failed or (story.containers and not answer.has_accounting):
        return _told_by_files(ref, story)
    return _live(accounted, ref, story) if accounted else None


def _is_too_early(row: Row, story: Story) -> bool:
    """Some sites show FAILED for a moment right after a submission."""
    return row.state == "FAILED" and from_epoch(row.end) is None and not story.is_whole


def _ended(row: Row, ref: JobRef, story: Story, who: str) -> Report:
    end = ENDS[row.state]
    own_code = None if story.has_failed or (story.reports and row.exit_code == 0) else row.exit_code
    reason, message = _why(end, row, story, who)
    return Report(
        ref.key,
        ref.native_id,
        end.phase,
        reason,
        message,
        exit_code=own_code if end.exit_code is None else end.exit_code,
        containers=story.reports,
        # Of a job that was cancelled while it waited, Slurm prints the end as the start too: it never began.
        started_at=None if row.start == row.end and not story.containers else from_epoch(row.start),
        ended_at=from_epoch(row.end),
        cpus=row.cpus,
        gpus=row.gpus,
        nodes=row.nodes,
        restart=story.restart,
        events=story.events,
    )


def _why(end: End, row: Row, story: Story, who: str) -> tuple[str, str]:
    if end.phase is Phase.CANCELLED and row.by and row.by != who:
        return end.reason, f"The batch job was cancelled at the site by its user {row.by}."
    if end.reason or end.phase is Phase.SUCCEEDED:
        return end.reason, end.message
    if story.reasons:
        return next(iter(story.reasons.values()))
    return ("", "") if story.containers or not story.said else ("Error", f"The batch job said: {story.said}")


def _told_by_files(ref: JobRef, story: Story) -> Report:
    if story.has_failed:
        end = End(Phase.FAILED, *next(iter(story.reasons.values()), ("", "")))
    else:
        end = ENDS["COMPLETED"] if story.is_whole else UNTOLD
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
