"""The history of jobs, move by move, and their attempts that never ran."""

from __future__ import annotations

from django.db import models

from jobs.models.job import Job, OfJob
from sites.models import Site
from sites.workload import JobRef


class Transition(models.Model):
    """One line of a job's history, inserted together with its move. Written by jobs/lifecycle.py."""

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="history", help_text="whose history it is")
    at = models.DateTimeField(help_text="when the job was moved")
    old = models.CharField(max_length=10, blank=True, help_text="the state before; empty for the first line")
    new = models.CharField(max_length=10, help_text="the state after")
    attempt = models.PositiveIntegerField(help_text="the number of the attempt that was current then")
    native_id = models.CharField(
        max_length=200, blank=True, help_text="the site's name of the batch job, as it was then"
    )
    reason = models.CharField(max_length=100, blank=True, help_text="the job's reason, as it was then")
    message = models.TextField(blank=True, help_text="the job's message, as it was then")

    objects = OfJob.as_manager()

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.old or '·'} → {self.new}"


class AbandonedAttempt(models.Model):
    """An attempt that its site has fenced: it never ran and never will, but its folder is still there.

    The folder holds the fence, which must outlast a late arrival of the submission. So it is removed only at
    `clean_at`.
    """

    site = models.ForeignKey(Site, on_delete=models.CASCADE, help_text="where its folder is")
    key = models.CharField(max_length=40, unique=True, help_text="the attempt's random name")
    folder = models.CharField(max_length=500, help_text="its folder at the site")
    account = models.CharField(
        max_length=64, blank=True, help_text="the local account that owns the folder; empty is the site's own"
    )
    clean_at = models.DateTimeField(help_text="when the folder is removed, and this row with it")

    class Meta:
        indexes = [models.Index(fields=["site", "clean_at"])]

    def __str__(self) -> str:
        return self.key

    @property
    def ref(self) -> JobRef:
        return JobRef(key=self.key, native_id="", folder=self.folder, account=self.account)
