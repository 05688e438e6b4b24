"""What workers do, by name. Thin: each task serves one site in one lane, or sweeps the rows, and may be lost.

A message is only a hint. `jobs.tick` finds every due row each second, so nothing here need be retried.
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

#: Batches in a row for one hint. The next tick goes on; meanwhile others get the thread.
_ROUNDS = 20

#: Set once this worker has been told to stop: it begins nothing new.
_stopping = threading.Event()
#: A hint that waited longer than this has been overtaken by the tick.
EXPIRES = 10
#: Seconds in which nobody would notice the difference, and a hint costs a create a third of its time.
MERGED_FOR = 0.05

_lock = threading.Lock()
#: What this process hinted at a moment ago, and whether more has come since.
_recent: dict[tuple[str, int], bool] = {}
remembered.registered(_recent.clear)


def send_hint(work: str, site_id: int) -> None:
    """Send one hint now, without retrying. Redis away costs at most its time-out, and no error.

    work: what the task is called behind `jobs.`, of jobs/tasks.py.
    """
    try:
        current_app.send_task(f"jobs.{work}", args=[site_id], expires=EXPIRES, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        logger.warning("no hint sent", extra={"work": work, "site": site_id, "why": type(error).__name__})


def send_hint_merged(work: str, site_id: int) -> None:
    """The same, unless such a hint was sent a moment ago: then one more follows at the end of that moment."""
    with _lock:
        is_recent = (work, site_id) in _recent
        _recent[work, site_id] = is_recent
    if is_recent:
        return
    try:
        send_hint(work, site_id)
    finally:
        moment = threading.Timer(MERGED_FOR, _end_moment, [work, site_id])
        moment.daemon = True
        moment.start()


def _end_moment(work: str, site_id: int) -> None:
    with _lock:
        more_came = _recent.pop((work, site_id), False)
    if more_came:
        send_hint_merged(work, site_id)


@shared_task(name="jobs.tick")
def tick() -> None:
    """Send a hint for all that is due."""
    for kind, site_id in due.work(now=timezone.now()):
        send_hint(kind, site_id)
    Heartbeat.beat("tick")


@shared_task(name="jobs.submit")
def submit(site_id: int) -> None:
    """Start what is held and fits, submit what is due, and settle what is in doubt."""
    _serve(site_id, "in", start_due, submit_due, recover_due)


@shared_task(name="jobs.poll")
def poll(site_id: int) -> None:
    _serve(site_id, "watch", poll_due)


@shared_task(name="jobs.cancel")
def cancel(site_id: int) -> None:
    _serve(site_id, "watch", cancel_due)


@shared_task(name="jobs.clean")
def clean(site_id: int) -> None:
    """One batch of each, so that submissions, which share the lane, wait no longer than that."""
    _serve(site_id, "in", archive_due, clean_due, clean_abandoned, rounds=1)


@shared_task(name="jobs.probe")
def probe(site_id: int) -> None:
    """Ask for capacity: the only task that speaks to a silent site."""
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
    """Take the steps, each again while there is more for it, unless the lane is another's or the site falls silent."""
    with lane(name, site_id) as mine, structlog.contextvars.bound_contextvars(site=site_id):
        if not mine:
            return
        try:
            for step in steps:
                _repeat(step, sites, site_id, rounds)
        except Unreachable as silence:
            logger.info("unanswered", extra={"why": silence.message})


def _repeat(step: Callable[[Site], bool], sites: Callable[[], QuerySet[Site]], site_id: int, rounds: int) -> None:
    for _ in range(rounds):
        site = sites().filter(pk=site_id).first()  # anew: it may have been drained, or have fallen silent
        if site is None or _stopping.is_set() or not step(site):
            return


@worker_shutting_down.connect
def _leave_soon(**_: object) -> None:
    """Leave within WORKER_DRAIN whatever a site is doing.

    What is cut off is in doubt, which recovery settles: the attempt was on record before the site heard of it.
    """
    _stopping.set()
    timer = threading.Timer(settings.WORKER_DRAIN, _leave)
    timer.daemon = True
    timer.start()


def _leave() -> None:
    """Celery's thread pool waits for its threads for ever; ours wait for sites, which may never answer."""
    logger.warning("left work to recovery", extra={"after": settings.WORKER_DRAIN})
    os._exit(0)
