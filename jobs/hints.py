"""Nudges as Celery messages: hints, which may be lost.

A burst of creates is not a burst of hints: what comes within MERGED_FOR of one is told by one more at the end of it.
"""

from __future__ import annotations

import logging
import threading

from celery import current_app
from kombu.exceptions import OperationalError

from controlplane import remembered

logger = logging.getLogger(__name__)

#: A hint that waited longer than this has been overtaken by the tick.
EXPIRES = 10
#: Seconds in which nobody would notice the difference, and a hint costs a create a third of its time.
MERGED_FOR = 0.05

_lock = threading.Lock()
#: What this process hinted at a moment ago, and whether more has come since.
_recent: dict[tuple[str, int], bool] = {}
remembered.registered(_recent.clear)


def send(work: str, site_id: int) -> None:
    """Send one hint now, without retrying. Redis away costs at most its time-out, and no error.

    work: what the task is called behind `jobs.`, of jobs/tasks.py.
    """
    try:
        current_app.send_task(f"jobs.{work}", args=[site_id], expires=EXPIRES, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        logger.warning("no hint sent", extra={"work": work, "site": site_id, "why": type(error).__name__})


def send_merged(work: str, site_id: int) -> None:
    """The same, unless such a hint was sent a moment ago: then one more follows at the end of that moment."""
    with _lock:
        is_recent = (work, site_id) in _recent
        _recent[work, site_id] = is_recent
    if is_recent:
        return
    try:
        send(work, site_id)
    finally:
        moment = threading.Timer(MERGED_FOR, _end_moment, [work, site_id])
        moment.daemon = True
        moment.start()


def _end_moment(work: str, site_id: int) -> None:
    with _lock:
        more_came = _recent.pop((work, site_id), False)
    if more_came:
        send_merged(work, site_id)
