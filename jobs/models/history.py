"""What became of a job, move by move, and of the attempts that never ran."""

from __future__ import annotations

from django.db import models

from jobs.models.job import Job, OfJob
from sites.models import Site
from sites.workload import JobRef


class Transition(models.Model):
    """One line of a job's history, written with the move it tells of."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="history")
    at = models.DateTimeField()
    old = models.CharField(max_length=10, blank=True)
    new = models.CharField(max_length=10)
    attempt = models.PositiveIntegerField()
    native_id = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=100, blank=True)
    message = models.TextField(blank=True)

    objects = OfJob.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.old or '·'} → {self.new}"


class AbandonedAttempt(models.Model):
    """An attempt that its site has fenced: it never ran and never will, but its folder is still there.

    The fence must outlive every late end of the submission that it keeps out, so the folder goes only at `clean_at`.
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE)
    key = models.CharField(max_length=40, unique=True)
    folder = models.CharField(max_length=500)
    account = models.CharField(max_length=64, blank=True)
    clean_at = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["site", "clean_at"])]

    def __str__(self) -> str:
        return self.key

    @property
    def ref(self) -> JobRef:
        return JobRef(key=self.key, native_id="", folder=self.folder, account=self.account)
