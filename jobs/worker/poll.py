"""Asks a site once for all our jobs there, compares its reports with the rows, and writes only what changed.

Silence changes nothing. `poll_outcomes` decides what each report means.
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

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import datetime

    from jobs.lifecycle import Move
    from sites.workload import Report

logger = logging.getLogger(__name__)

#: A poll may keep the site's scheduler busy for at most one part in this many of the time.
_REST = 20
#: And we wait for the site's answers for at most one part in this many of the time.
_PATIENCE = 2
#: Time between two ticks, which find due work (controlplane/celery.py).
_TICK = timedelta(seconds=1)
#: After a poll that is later than this (seconds), a job that is missing from the answer may be missing only since now.
_LATE = 60

#: Events that are on record, by site: the next poll tells the site to forget them. Each process keeps its own and may
#: lose them, since the site then reports them again.
_recorded: defaultdict[int, set[str]] = defaultdict(set)
remembered.registered(_recorded.clear)


@dataclass
class News:
    """What one poll brought.

    moves: what changed. quiet: events that change nothing. events: job id -> the events behind its move.
    """

    moves: list[Move] = field(default_factory=list)
    quiet: list[str] = field(default_factory=list)
    events: dict[int, tuple[str, ...]] = field(default_factory=dict)


def poll_due(site: Site) -> bool:
    """Polls the site if its poll is due. Returns whether it was polled.

    Raises Unreachable when the site did not answer; every job then stays as it is.
    """
    asked = timezone.now()
    if site.next_poll_at > asked:
        return False
    jobs = watched(site, now=asked)
    handed = frozenset(_recorded[site.pk])
    began = time.monotonic()
    with speaking_to(site) as connector:
        answer = connector.poll([job.ref for job in jobs], sorted(handed))
    took = time.monotonic() - began
    _recorded[site.pk] -= handed
    now, due = timezone.now(), site.next_poll_at
    _recorded[site.pk] |= record_reports(jobs, answer.reports, now=now, afresh=now - due > timedelta(seconds=_LATE))
    next_poll_at = _next_poll(site, asked=asked, took=took, busy=answer.scheduler_seconds)
    Site.objects.filter(pk=site.pk).update(polled_at=now, next_poll_at=next_poll_at)
    return True


def _next_poll(site: Site, *, asked: datetime, took: float, busy: float) -> datetime:
    """When to poll next. took: seconds until the answer; busy: seconds of these in which the scheduler worked."""
    # The tick finds a due poll up to a second late. Counted from the due time, this delay does not add up.
    regular = max(site.next_poll_at, asked - _TICK) + timedelta(seconds=site.poll_interval)
    return max(regular, asked + timedelta(seconds=max(_REST * busy, _PATIENCE * took)))


def watched(site: Site, *, now: datetime) -> list[Watched]:
    """Our jobs at the site, with those that it lost less than LOST_WATCH seconds ago."""
    lost = Q(lost_at__isnull=False, ended_at__gte=now - timedelta(seconds=settings.LOST_WATCH))
    rows = Job.objects.filter(Q(state__in=[State.PENDING, State.RUNNING]) | lost, site=site)
    return [Watched._make(row) for row in rows.values_list(*Watched._fields)]


def record_reports(
    jobs: Iterable[Watched], reports: Mapping[str, Report], *, now: datetime, afresh: bool = False
) -> set[str]:
    """Writes what changed. Returns the events that are on record now, which the site may forget.

    reports: attempt key -> the site's report; a job without one is missing there. afresh: see `decide_missing`.
    """
    news = _sift(jobs, reports, now=now, afresh=afresh)
    recorded = set(news.quiet)
    # Found jobs go apart: correcting their usage locks allocations that a move of other jobs may have locked before.
    found = [move for move in news.moves if poll_outcomes.finds_lost(move)]
    for moves in ([move for move in news.moves if move not in found] if found else news.moves, found):
        for start in range(0, len(moves), settings.BATCH_JOBS):
            for move in _write(moves[start : start + settings.BATCH_JOBS], now=now):
                recorded.update(news.events.get(move.job_id, ()))
    if news.moves:
        logger.info("polled", extra={"answers": len(reports), "changes": len(news.moves)})
    return recorded


def _sift(jobs: Iterable[Watched], reports: Mapping[str, Report], *, now: datetime, afresh: bool) -> News:
    news = News()
    for job in jobs:
        report = reports.get(job.attempt_key)
        try:
            if job.lost_at is not None:
                move = poll_outcomes.decide_lost(job, report, now=now)
            elif report is None:
                move = poll_outcomes.decide_missing(job, now=now, afresh=afresh)
            else:
                move = poll_outcomes.decide_report(job, report, now=now)
        except Exception:
            # A report about one job that we do not understand must not stop the news about the others.
            logger.exception("report not understood", extra={"job": job.pk})
            continue
        events = report.events if report else ()
        if move is None:
            news.quiet.extend(events)
        else:
            news.moves.append(move)
            news.events[job.pk] = events
    return news


def _write(moves: list[Move], *, now: datetime) -> list[Move]:
    """Applies the moves and returns those that are on record now. A move that the database refuses is left out."""
    try:
        with transaction.atomic():
            moved = lifecycle.move(moves, now=now)
            by_job = {move.job_id: move for move in moves}
            # The site's figures of a lost job that was found replace our estimates.
            found = [(job, by_job[job.pk].report) for job in moved if poll_outcomes.finds_lost(by_job[job.pk])]
            if found:
                records.correct(found, now=now)
    except (DataError, IntegrityError):
        if len(moves) == 1:
            logger.exception("report not recorded", extra={"job": moves[0].job_id})
            return []
        # One of them was refused: find out which.
        return [written for move in moves for written in _write([move], now=now)]
    return moves
