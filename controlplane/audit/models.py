"""One row per act. The table is made by SQL (its migration): by months, and without UPDATE and DELETE for anybody."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from controlplane.reach import Reached


class EventRows(Reached["Event"]):
    """Events, and who may read them."""

    tenant = "tenant_id"
    site_slug = "site"


class Event(models.Model):
    """Who did what. Ids only, no foreign keys: it outlives everything it tells of.

    actor: the name that people know the actor by, as it was then. changes: {field: [before, after]} or further
    particulars, never a secret. object_id: the row's number, or its name where that is what people use.
    """

    class Outcome(models.TextChoices):
        DONE = "done", "done"
        REFUSED = "refused", "refused"

    at = models.DateTimeField(default=timezone.now)
    actor_kind = models.CharField(max_length=10)
    actor_id = models.BigIntegerField(null=True)
    actor = models.CharField(max_length=255, blank=True)
    token_id = models.BigIntegerField(null=True)
    address = models.CharField(max_length=45, blank=True)
    verb = models.CharField(max_length=50)
    object_kind = models.CharField(max_length=30)
    object_id = models.CharField(max_length=100, blank=True)
    tenant_id = models.BigIntegerField(null=True)
    site = models.CharField(max_length=63, blank=True)
    outcome = models.CharField(max_length=10, choices=Outcome.choices)
    request_id = models.CharField(max_length=64, blank=True)
    changes = models.JSONField(default=dict)

    objects = EventRows.as_manager()

    class Meta:
        managed = False
        db_table = "audit_event"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor or self.actor_kind} {self.verb} {self.object_kind} {self.object_id}"
