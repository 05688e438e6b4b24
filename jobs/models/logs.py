"""Containers' output that outlives its site's copy."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from jobs.models.job import Job, OfJob


class ArchivedLog(models.Model):
    """A container's output after its job ended: a gzip file in the `logs` storage.

    size: bytes before compression; skipped: bytes left out before the kept tail, where the log was over the limit.
    index: the `<epoch seconds> <size>` lines that give each byte its second.
    """

    job = models.ForeignKey(Job, on_delete=models.CASCADE, related_name="logs")
    container = models.CharField(max_length=63)
    path = models.CharField(max_length=200)
    size = models.PositiveBigIntegerField()
    skipped = models.PositiveBigIntegerField(default=0)
    index = models.TextField(blank=True)
    archived_at = models.DateTimeField(default=timezone.now)

    objects = OfJob.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "container"], name="one_archive_for_a_container")]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.container}"
