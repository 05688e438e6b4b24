"""Telling a worker that there is work, after the commit. Losing a nudge loses nothing: the tick finds the row."""

from __future__ import annotations

import logging
from typing import Literal

from celery import current_app
from django.db import transaction
from kombu.exceptions import OperationalError

logger = logging.getLogger(__name__)

Work = Literal["submit", "cancel", "poll", "clean"]

#: A hint that waited longer than this has been overtaken by the tick.
EXPIRES = 10


def nudge(work: Work, site_id: int) -> None:
    """Send the hint once this transaction has committed. Redis away costs at most its time-out, and no error."""
    transaction.on_commit(lambda: send(work, site_id))


def send(work: str, site_id: int) -> None:
    """Send one hint now, without retrying."""
    try:
        current_app.send_task(f"jobs.{work}", args=[site_id], expires=EXPIRES, retry=False, ignore_result=True)
    except (OperationalError, OSError) as error:
        logger.warning("no hint sent", extra={"work": work, "site": site_id, "why": type(error).__name__})
