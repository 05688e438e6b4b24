"""Configures Celery: messages that wake workers, and every periodic task in one table.

The database rows are the queue (docs/design.md), so a lost message loses no work: messages are acknowledged early,
expire, and have no results. Workers use threads, because they mostly wait for sites and PostgreSQL; every such call has
its own time-out.
"""

from __future__ import annotations

import os

import psycopg
from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from django.db import InterfaceError, OperationalError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
# Django's checks would load all web views into workers, which serve none. `prepare_database` runs the checks instead.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("isthmus")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,
    task_serializer="json",
    # While PostgreSQL is down, each task logs one line instead of a traceback every second. The next tick tries again.
    task_annotations={"*": {"throws": (OperationalError, InterfaceError, psycopg.OperationalError)}},
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # no limit: by default a worker exits after 100 tries, some 50 minutes
    broker_transport_options={"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "socket_keepalive": True},
    beat_scheduler="celery.beat:Scheduler",  # in memory only: no periodic task minds an extra run
)
app.conf.beat_schedule = {
    "tick": {"task": "jobs.tick", "schedule": 1.0, "options": {"expires": 2}},
    "reclaim orphans": {"task": "jobs.reclaim_orphans", "schedule": 60.0, "options": {"expires": 60}},
    "place held": {"task": "jobs.place_held", "schedule": 5.0, "options": {"expires": 5}},
    "forget the old": {"task": "jobs.forget_the_old", "schedule": 3600.0, "options": {"expires": 3600}},
    "lapse memberships": {"task": "jobs.lapse_memberships", "schedule": 3600.0, "options": {"expires": 3600}},
}
app.autodiscover_tasks(["jobs"])


@setup_logging.connect
def _log_as_configured(**_: object) -> None:
    """Keeps Celery from installing its own log handlers, so that Django's logging configuration applies."""
    from controlplane import logs

    logs.configure(settings.LOGGING)
