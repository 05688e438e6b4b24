"""A worker told to stop: it begins nothing new, and leaves within WORKER_DRAIN whatever a site is doing.

What is cut off is in doubt, which recovery settles: the attempt was on record before the site heard of it.
"""

from __future__ import annotations

import logging
import os
import threading

from celery.signals import worker_shutting_down
from django.conf import settings

logger = logging.getLogger(__name__)

_asked = threading.Event()


def draining() -> bool:
    """Whether this worker has been told to stop."""
    return _asked.is_set()


@worker_shutting_down.connect
def _drain(**_: object) -> None:
    _asked.set()
    timer = threading.Timer(settings.WORKER_DRAIN, _leave)
    timer.daemon = True
    timer.start()


def _leave() -> None:
    """Celery's thread pool waits for its threads for ever; ours wait for sites, which may never answer."""
    logger.warning("left work to recovery", extra={"after": settings.WORKER_DRAIN})
    os._exit(0)
