"""Heartbeats of the periodic tasks."""

from __future__ import annotations

from django.db import models
from django.utils import timezone


class Heartbeat(models.Model):
    """When a periodic task last ran; /metrics shows its age."""

    name = models.CharField(max_length=50, primary_key=True, help_text="the name of the periodic task")
    at = models.DateTimeField(help_text="when it last ran. Written by jobs/models/heartbeat.py.")

    def __str__(self) -> str:
        return self.name

    @classmethod
    def beat(cls, name: str) -> None:
        cls.objects.update_or_create(name=name, defaults={"at": timezone.now()})
