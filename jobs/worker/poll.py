"""One question a site: what of our jobs there? Its answer is compared row by row, and only what changed is written.

Silence changes nothing. What each answer means is for `reports` to say.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import DataError, IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from controlplane import remembered
from jobs import lifecycle
from jobs.accounting import records
from jobs.models import Job
from jobs.states import State
from jobs.worker import poll_outcomes
from jobs.worker.contact import speaking_to
from jobs.worker.poll_outcomes import Watched
from sites.models import Site
from sites.workload import JobRef

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from jobs.lifecycle import Move
    from sites.workload import Report

logger = logging.getLogger(__name__)

#: A poll may keep its site's scheduler at work for at most this share of the time: one in twenty.
_REST = 20
#: And we wait for its answers at most half of the time, however far away it is.
_PATIENCE = 2
#: Between two looks at what is due (controlplane/celery.py).
_TICK = timedelta(seconds=1)
#: A poll this late (seconds) means that nobody asked: a job missing from the answer may have been gone for a moment.
_LATE = 60

#: Events written down, by site, to be handed back with the next poll. Each process has its own and may forget them:
#: the site then tells them again.
_recorded: defaultdict[int, set[str]] = defaultdict(set)
remembered.registered(_recorded.clear)


@dataclass
class News:
    """moves: what changed. quiet: events that change nothing. events: those behind each move, by job."""

    moves: list[Move] = field(default_factory=list)
    quiet: list[str] = field(default_factory=list)
    events: dict[int, tuple[str, ...]] = field(default_factory=dict)


def poll_due(site: Site) -> bool:
    """Poll the site if its time has come. True if it was polled; `Unreachable` leaves every job as it was."""
    asked = timezone.now()
    if site.next_poll_at > asked:
        return False
    jobs = watched(site, now=asked)
    handed = frozenset(_recorded[site.pk])
    began = time.monotonic()
    with speaking_to(site) as connector:
        answer = connector.poll([_ref(job) for job in jobs], sorted(handed))
    took = time.monotonic() - began
    _recorded[site.pk] -= handed
    now, due = timezone.now(), site.next_poll_at
    _recorded[site.pk] |= record(jobs, answer.reports, now=now, afresh=now - due > timedelta(seconds=_LATE))
    next_poll_at = _next_poll(site, asked=asked, took=took, busy=answer.scheduler_seconds)
    Site.objects.filter(pk=site.pk).update(polled_at=now, next_poll_at=next_poll_at)
    return True


def _next_poll(site: Site, *, asked: datetime, took: float, busy: float) -> datetime:
    """When to ask again. took: seconds until the answer; busy: those of them in which the site's scheduler worked."""
    # The tick finds a due poll up to a second late. Counted from when it was due, that does not add up.
    regular = max(site.next_poll_at, asked - _TICK) + timedelta(seconds=site.poll_interval)
    return max(regular, asked + timedelta(seconds=max(_REST * busy, _PATIENCE * took)))


def watched(site: Site, *, now: datetime) -> list[Watched]:
    """What the site holds of ours, and for a while those that it has lost."""
    lost = Q(lost_at__isnull=False, ended_at__gte=now - timedelta(seconds=settings.LOST_WATCH))
    rows = Job.objects.filter(Q(state__in=[State.PENDING, State.RUNNING]) | lost, site=site)
    return [Watched._make(row) for row in rows.values_list(*Watched._fields)]


def record(jobs: Iterable[Watched], answers: Mapping[str, Report], *, now: datetime, afresh: bool = False) -> set[str]:
    """Write down what changed. Answers the events that are on record now, for the site to forget."""
    news = _sift(jobs, answers, now=now, afresh=afresh)
    recorded = set(news.quiet)
    # Apart, since correcting their usage locks allocations, which a move of other jobs would have locked before.
    found = [move for move in news.moves if poll_outcomes.finds_lost(move)]
    for moves in ([move for move in news.moves if move not in found] if found else news.moves, found):
        for start in range(0, len(moves), settings.BATCH_JOBS):
            for move in _write(moves[start : start + settings.BATCH_JOBS], now=now):
                recorded.update(news.events.get(move.job_id, ()))
    if news.moves:
        logger.info("polled", extra={"answers": len(answers), "changes": len(news.moves)})
    return recorded


def _sift(jobs: Iterable[Watched], answers: Mapping[str, Report], *, now: datetime, afresh: bool) -> News:
    news = News()
    for job in jobs:
        report = answers.get(job.attempt_key)
        try:
            move = _judge(job, report, now=now, afresh=afresh)
        except Exception:
            # One site's odd answer about one job must not keep the news from all the others.
            logger.exception("report not understood", extra={"job": job.pk})
            continue
        events = report.events if report else ()
        if move is None:
            news.quiet.extend(events)
        else:
            news.moves.append(move)
            news.events[job.pk] = events
    return news


def _judge(job: Watched, report: Report | None, *, now: datetime, afresh: bool) -> Move | None:
    if job.lost_at is not None:
        return poll_outcomes.decide_lost(job, report, now=now)
    if report is None:
        return poll_outcomes.decide_missing(job, now=now, afresh=afresh)
    return poll_outcomes.decide(job, report, now=now)


def _write(moves: list[Move], *, now: datetime) -> list[Move]:
    """Apply the moves; those now on record. What the database will not have is found one by one, and left out."""
    try:
        with transaction.atomic():
            moved = lifecycle.move(moves, now=now)
            _account_for_lost(moved, {move.job_id: move for move in moves}, now=now)
    except (DataError, IntegrityError):
        if len(moves) == 1:
            logger.exception("report not recorded", extra={"job": moves[0].job_id})
            return []
        return [written for move in moves for written in _write([move], now=now)]
    return moves


def _account_for_lost(jobs: Iterable[Job], moves: Mapping[int, Move], *, now: datetime) -> None:
    """Lost jobs that came to light after all: their site's figures replace our estimates."""
    found = [(job, moves[job.pk].report) for job in jobs if poll_outcomes.finds_lost(moves[job.pk])]
    if found:
        records.correct(found, now=now)


def _ref(job: Watched) -> JobRef:
    return JobRef(job.attempt_key, job.native_id, job.folder, job.account, f"{job.pod_namespace}/{job.pod_name}")
