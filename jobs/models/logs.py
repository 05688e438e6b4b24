"""Archived output of containers."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from jobs.models.job import Job, OfJob


class ArchivedLog(models.Model):
    """A container's output after its job ended: a gzip file in the `logs` storage.

    Written by jobs/logs/archiving.py, and written again after a crash between the file and the row.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="logs", help_text="whose container it was")
    container = models.CharField(max_length=63, help_text="the container's name")
    path = models.CharField(max_length=200, help_text="the file's name in the `logs` storage")
    size = models.PositiveBigIntegerField(help_text="bytes that are kept, before compression")
    skipped = models.PositiveBigIntegerField(
        default=0, help_text="bytes at the beginning that were left out, because the log was too long"
    )
    index = models.TextField(
        blank=True, help_text="lines `<seconds since 1970> <bytes>`: how long the log was at that second"
    )
    archived_at = models.DateTimeField(default=timezone.now, help_text="when it was stored")

    objects = OfJob.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "container"], name="one_archive_for_a_container")]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.container}"
