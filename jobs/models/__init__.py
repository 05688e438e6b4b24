"""The rows of jobs, and what is kept after their end."""

from __future__ import annotations

from controlplane.api.models import KeptAnswer  # imported here so that Django finds it: its table belongs to this app
from jobs.models.changes import Changes, QuietChanges
from jobs.models.heartbeat import Heartbeat
from jobs.models.history import AbandonedAttempt, Transition
from jobs.models.job import Job, new_key
from jobs.models.logs import ArchivedLog
from jobs.models.tombstone import Tombstone
from jobs.models.usage import UsageRecord

__all__ = [
    "AbandonedAttempt",
    "ArchivedLog",
    "Changes",
    "Heartbeat",
    "Job",
    "KeptAnswer",
    "QuietChanges",
    "Tombstone",
    "Transition",
    "UsageRecord",
    "new_key",
]
