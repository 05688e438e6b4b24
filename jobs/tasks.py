"""The Celery tasks of workers, and the hints that start them. Each task serves one site in one lane, or sweeps rows.

A message is only a hint and may be lost: `jobs.tick` finds all due rows each second, so no task is retried.
"""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING

import structlog
from celery import current_app, shared_task
from celery.signals import worker_shutting_down
from django.conf import settings
from django.utils import timezone
from kombu.exceptions import OperationalError

from controlplane import remembered
from controlplane.auth import memberships
from jobs.models import Heartbeat
from jobs.sweeps import held, orphans, retention
from jobs.worker import due
from jobs.worker.cancel import cancel_due
from jobs.worker.clean import archive_due, clean_abandoned, clean_due
from jobs.worker.poll import poll_due
from jobs.worker.probe import probe_due
from jobs.worker.site_lock import lane
from jobs.worker.start import start_due
from jobs.worker.submit import recover_due, submit_due
from sites import health
from sites.connectors.base import Unreachable
from sites.models import Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.db.models import QuerySet

    from jobs.worker.site_lock import Lane

logger = logging.getLogger(__name__)

#: The most batches for one hint. The next tick continues; meanwhile other tasks get the thread.
_ROUNDS = 20

#: Set when this worker is asked to stop: it then begins no new batch.
_stopping = threading.Event()
#: Seconds after which a hint is dropped, since the tick has found the work meanwhile.
EXPIRES = 10
#: Seconds in which the same hints are merged: too short to notice, and a hint costs a create a third of its time.
MERGED_FOR = 0.05

_lock = threading.Lock()
#: (work, site id) of hints that this process sent less than MERGED_FOR ago -> whether another one came since.
_recent: dict[tuple[str, int], bool] = {}
remembered.registered(_recent.clear)


def send_hint(work: str, site_id: int) -> None:
    """Sends one hint now, without a retry and without an error where Redis does not answer.

    work: the name of a task below, without `jobs.`.
    """
    try:
        current_app.send_task(f"jobs.{work}", args=[site_id], expires=EXPIRES, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        logger.warning("no hint sent", extra={"work": work, "site": site_id, "why": type(error).__name__})


def send_hint_merged(work: str, site_id: int) -> None:
    """Sends a hint, unless the same was sent less than MERGED_FOR ago: then one more follows when that has passed."""
    with _lock:
        is_recent = (work, site_id) in _recent
        _recent[work, site_id] = is_recent
    if is_recent:
        return
    try:
        send_hint(work, site_id)
    finally:
        timer = threading.Timer(MERGED_FOR, _end_merging, [work, site_id])
        timer.daemon = True
        timer.start()


def _end_merging(work: str, site_id: int) -> None:
    with _lock:
        more_came = _recent.pop((work, site_id), False)
    if more_came:
        send_hint_merged(work, site_id)


@shared_task(name="jobs.tick")
def tick() -> None:
    """Sends a hint for each site and kind of work that is due."""
    for kind, site_id in due.work(now=timezone.now()):
        send_hint(kind, site_id)
    Heartbeat.beat("tick")


@shared_task(name="jobs.submit")
def submit(site_id: int) -> None:
    """Starts held jobs, submits what is due, and settles the attempts in doubt."""
    _serve(site_id, "in", start_due, submit_due, recover_due)


@shared_task(name="jobs.poll")
def poll(site_id: int) -> None:
    _serve(site_id, "watch", poll_due)


@shared_task(name="jobs.cancel")
def cancel(site_id: int) -> None:
    _serve(site_id, "watch", cancel_due)


@shared_task(name="jobs.clean")
def clean(site_id: int) -> None:
    """Runs one batch of each step: submissions share the lane and must not wait longer."""
    _serve(site_id, "in", archive_due, clean_due, clean_abandoned, rounds=1)


@shared_task(name="jobs.probe")
def probe(site_id: int) -> None:
    """Asks the site for its partitions. The only task that calls a silent site."""
    _serve(site_id, "watch", probe_due, sites=Site.objects.all)


@shared_task(name="jobs.place_held")
def place_held() -> None:
    """Re-places held jobs and updates their reasons."""
    now = timezone.now()
    held.hold_drained(now=now)
    held.settle_held(now=now)
    held.place_held(now=now)
    Heartbeat.beat("place_held")


@shared_task(name="jobs.reclaim_orphans")
def reclaim_orphans() -> None:
    orphans.reclaim(now=timezone.now())
    Heartbeat.beat("reclaim_orphans")


@shared_task(name="jobs.forget_the_old")
def forget_the_old() -> None:
    retention.forget_the_old(now=timezone.now())
    Heartbeat.beat("forget_the_old")


@shared_task(name="jobs.lapse_memberships")
def lapse_memberships() -> None:
    memberships.lapse(now=timezone.now())
    Heartbeat.beat("lapse_memberships")


def _serve(
    site_id: int,
    name: Lane,
    *steps: Callable[[Site], bool],
    rounds: int = _ROUNDS,
    sites: Callable[[], QuerySet[Site]] = health.answering,
) -> None:
    """Runs the steps in the site's lane, each up to `rounds` times while it has more to do.

    Does nothing where another thread holds the lane. Ends when the site falls silent.
    """
    with lane(name, site_id) as mine, structlog.contextvars.bound_contextvars(site=site_id):
        if not mine:
            return
        try:
            for step in steps:
                for _ in range(rounds):
                    site = sites().filter(pk=site_id).first()  # again: it may be drained or silent by now
                    if site is None or _stopping.is_set() or not step(site):
                        break
        except Unreachable as silence:
            logger.info("unanswered", extra={"why": silence.message})


@worker_shutting_down.connect
def _leave_soon(**_: object) -> None:
    """Ends this process within WORKER_DRAIN seconds, whether a site has answered or not.

    A submission that is cut off is in doubt, and recovery settles it: the attempt was on record before the call.
    """
    _stopping.set()
    timer = threading.Timer(settings.WORKER_DRAIN, _leave)
    timer.daemon = True
    timer.start()


def _leave() -> None:
    """Celery's thread pool would wait for its threads for ever, and ours wait for sites that may never answer."""
    logger.warning("left work to recovery", extra={"after": settings.WORKER_DRAIN})
    os._exit(0)
