"""Celery: hints to workers, and every periodic task on one screen.

The rows are the queue (docs/design.md), so nothing here is precious: messages are acknowledged early, expire, and have
no results. Threads, since all a worker does is wait for sites and PostgreSQL; every call carries its own time-out.
"""

from __future__ import annotations

import os

import psycopg
from celery import Celery
from celery.signals import setup_logging
from django.conf import settings
from django.db import InterfaceError, OperationalError

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
# Django's checks, which `prepare_database` runs, would load every view of the web into processes that serve none.
os.environ.setdefault("CELERY_SKIP_CHECKS", "1")

app = Celery("isthmus")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.conf.update(
    task_ignore_result=True,
    task_acks_late=False,
    task_serializer="json",
    # PostgreSQL away: one line, not a traceback for each task of each second; the next tick begins again.
    task_annotations={"*": {"throws": (OperationalError, InterfaceError, psycopg.OperationalError)}},
    accept_content=["json"],
    worker_prefetch_multiplier=1,
    worker_hijack_root_logger=False,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,  # for ever: after 100 tries, some 50 minutes, a worker would end itself
    broker_transport_options={"socket_timeout": 0.5, "socket_connect_timeout": 0.5, "socket_keepalive": True},
    beat_scheduler="celery.beat:Scheduler",  # in memory: every periodic task may run a time too often
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
    """Keep Celery from installing log handlers of its own: Django's configuration stands."""
    from controlplane import logs

    logs.configure(settings.LOGGING)
