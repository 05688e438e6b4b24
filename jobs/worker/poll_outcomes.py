"""Decides what a site's report means for its job: the move to make, or none. Pure functions.

How a job ends: where every container reported its exit code, these codes decide, whatever the batch job's state is.
Otherwise the site's report decides.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from django.conf import settings

from jobs.lifecycle import Move
from jobs.states import State
from sites.reasons import Reason
from sites.workload import JobRef, Phase

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from jobs.models import Changes
    from sites.workload import ContainerReport, Report

#: Characters of a site's words that are kept: `reason` is a column's width, a message is for a person to read.
_REASON, _MESSAGE = 100, 2000
#: A job that its site ended without an exit code reads as Kubernetes users know it: 128 + SIGTERM.
_TERMINATED = 143

Seen = dict[str, Any]


class Watched(NamedTuple):
    """The columns of a job that a report is compared with. A poll reads ten thousand of them: tuples, not models."""

    pk: int
    state: str
    attempt: int
    attempt_key: str
    native_id: str
    folder: str
    account: str
    pod_namespace: str
    pod_name: str
    containers: list[dict[str, Any]]
    observed: dict[str, Seen]
    reason: str
    message: str
    exit_code: int | None
    created_at: datetime
    started_at: datetime | None
    missing_since: datetime | None
    lost_at: datetime | None
    cancel_requested_at: datetime | None

    @property
    def ref(self) -> JobRef:
        """How a connector finds the job's current attempt."""
        return JobRef(
            self.attempt_key, self.native_id, self.folder, self.account, f"{self.pod_namespace}/{self.pod_name}"
        )


class Outcome(NamedTuple):
    """How a job ended."""

    state: State
    reason: str = ""
    message: str = ""
    exit_code: int | None = None


def decide_report(job: Watched, report: Report, *, now: datetime) -> Move | None:
    """The move that brings a live job's row up to the site's report; None where the row says the same already."""
    changes = _progress(job, report)
    if report.phase.is_end:
        end = outcome(job, changes.get("observed", job.observed), report)
        changes |= _fitting(end.reason, end.message) | {"exit_code": end.exit_code}
        # Between creation and now, whatever the site's clock says: retention counts from it. Usage has the site's time.
        changes["ended_at"] = max(job.created_at, min(now, report.ended_at or now))
        return Move(job.pk, job.attempt, end.state, changes, report)
    explanation = _fitting(report.reason, report.message)
    if (job.reason, job.message) != (explanation["reason"], explanation["message"]):
        changes |= explanation
    to = State(report.phase.value)
    if to == job.state:
        return Move(job.pk, job.attempt, changes=changes) if changes else None
    return Move(job.pk, job.attempt, to, changes, report)


def decide_missing(job: Watched, *, now: datetime, afresh: bool) -> Move | None:
    """The move for a job that an answering site does not know: Lost after JOB_LOST_AFTER seconds.

    afresh: nobody polled the site for a while, so the time counts from now.
    """
    if job.missing_since is None or afresh:
        return Move(job.pk, job.attempt, changes={"missing_since": now})
    if now - job.missing_since < timedelta(seconds=settings.JOB_LOST_AFTER):
        return None
    message = (
        f"The site has not known this job since {job.missing_since:%Y-%m-%d %H:%M} UTC, neither in its queue nor in "
        "its accounting nor in its folder."
    )
    # The best guess of its end is when it was first missing. Its usage is estimated from that.
    return Move(
        job.pk,
        job.attempt,
        State.FAILED,
        {"reason": Reason.LOST, "message": message, "ended_at": job.missing_since, "lost_at": now},
    )


def decide_lost(job: Watched, report: Report | None, *, now: datetime) -> Move | None:
    """The move for a lost job. If it reappears it is cancelled, and once it has ended its usage is corrected."""
    if report is None:
        return None
    if report.phase.is_end:
        message = f"{job.message} It reappeared there after it had been given up."
        return Move(
            job.pk,
            job.attempt,
            changes={"reason": Reason.LOST_REAPPEARED, "message": message, "lost_at": None, "next_cancel_at": None},
            report=report,
        )
    if job.cancel_requested_at is not None:
        return None
    cancellation: Changes = {"cancel_requested_at": now, "cancel_reason": Reason.LOST, "next_cancel_at": now}
    return Move(job.pk, job.attempt, changes=cancellation)


def finds_lost(move: Move) -> bool:
    """Whether this move says that a lost job was found and has ended."""
    return "lost_at" in move.changes and move.changes["lost_at"] is None


def observe(observed: Mapping[str, Seen], report: Report) -> dict[str, Seen]:
    """What is known of each container, updated by this report. A requeue of the batch job starts from nothing."""
    run = max([report.restart, *(news.restart for news in report.containers)])
    known = {name: seen for name, seen in observed.items() if seen.get("restart", 0) >= run}
    for news in report.containers:
        seen = known.get(news.name, {})
        if news.restart >= seen.get("restart", run):
            known[news.name] = {**seen, **_news(news)}
    return known


def outcome(job: Watched, observed: Mapping[str, Seen], report: Report) -> Outcome:
    """How a job ended whose batch job has ended. observed: what is known of its containers, this report included."""
    codes = {each["name"]: observed.get(each["name"], {}).get("code") for each in job.containers}
    mains = [codes[each["name"]] for each in job.containers if not each["init"]]
    failed = next(((name, code) for name, code in codes.items() if code), None)
    if failed is None and mains and all(code == 0 for code in mains):
        return Outcome(State.SUCCEEDED)
    if failed is None and report.phase is Phase.SUCCEEDED:
        return Outcome(State.SUCCEEDED)
    if job.cancel_requested_at is not None:
        return Outcome(
            State.CANCELLED, report.reason or Reason.CANCELLED, report.message, report.exit_code or _TERMINATED
        )
    return _failure(failed, report)


def _failure(failed: tuple[str, int] | None, report: Report) -> Outcome:
    if failed and not report.reason:
        name, code = failed
        return Outcome(State.FAILED, Reason.ERROR, f"The container {name} ended with exit code {code}.", code)
    own = failed[1] if failed else None
    if report.phase is Phase.CANCELLED:
        message = report.message or "Somebody at the site cancelled the batch job."
        return Outcome(
            State.FAILED, report.reason or Reason.CANCELLED_AT_SITE, message, report.exit_code or _TERMINATED
        )
    message = report.message or "The site says that the batch job failed, and no container reported how it ended."
    return Outcome(State.FAILED, report.reason or Reason.BATCH_JOB_FAILED, message, report.exit_code or own or 1)


def _progress(job: Watched, report: Report) -> Changes:
    """What a report changes in every phase: containers, start, and that the job is no longer missing."""
    changes: Changes = {}
    if report.containers or report.restart:
        observed = observe(job.observed, report)
        if observed != job.observed:
            changes["observed"] = observed
    if job.missing_since is not None:
        changes["missing_since"] = None
    started = None if report.phase is Phase.PENDING else report.started_at or job.started_at
    if started != job.started_at:
        changes["started_at"] = started
    return changes


def _fitting(reason: str, message: str) -> Changes:
    """Reason and message, truncated to the columns' widths and without NUL, which PostgreSQL's text cannot hold."""
    return {"reason": reason[:_REASON].replace("\0", ""), "message": message[:_MESSAGE].replace("\0", "")}


def _news(news: ContainerReport) -> Seen:
    values = {
        "started": int(news.started_at.timestamp()) if news.started_at else None,
        "ended": int(news.ended_at.timestamp()) if news.ended_at else None,
        "code": news.exit_code,
        "restart": news.restart,
    }
    return {name: value for name, value in values.items() if value is not None}
