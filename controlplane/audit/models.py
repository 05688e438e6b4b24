"""The table of audit events. Its migration creates it, partitioned by month; nobody may UPDATE or DELETE rows."""

from __future__ import annotations

from django.db import models
from django.utils import timezone

from controlplane.reach import Reached


class EventRows(Reached["Event"]):
    """Events. A caller reads those of its tenants and sites."""

    tenant = "tenant_id"
    site_slug = "site"


class Event(models.Model):
    """One act of one actor. It has ids instead of foreign keys, because it outlives the rows that it names."""

    class Outcome(models.TextChoices):
        DONE = "done", "done"
        REFUSED = "refused", "refused"

    at = models.DateTimeField(default=timezone.now, help_text="when it was done")
    actor_kind = models.CharField(
        max_length=10, help_text="what the actor is: a person, a node, a service account, ..."
    )
    actor_id = models.BigIntegerField(null=True, help_text="the actor's id among its kind")
    actor = models.CharField(max_length=255, blank=True, help_text="the actor's name for people, as it was then")
    token_id = models.BigIntegerField(null=True, help_text="the token of ours that was used, if any")
    address = models.CharField(max_length=45, blank=True, help_text="the IP address that the request came from")
    verb = models.CharField(max_length=50, help_text="what was done: `<object>.<act>`, such as `allocation.grant`")
    object_kind = models.CharField(max_length=30, help_text="what it was done to")
    object_id = models.CharField(max_length=100, blank=True, help_text="its id, or its name where people use that")
    tenant_id = models.BigIntegerField(null=True, help_text="the tenant that it concerns, if any")
    site = models.CharField(max_length=63, blank=True, help_text="the slug of the site that it concerns, if any")
    outcome = models.CharField(max_length=10, choices=Outcome.choices, help_text="whether it was done or refused")
    request_id = models.CharField(max_length=64, blank=True, help_text="the request's id, as in the logs")
    changes = models.JSONField(default=dict, help_text="{field: [before, after]}, or other details; never a secret")

    objects = EventRows.as_manager()

    class Meta:
        managed = False
        db_table = "audit_event"
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.actor or self.actor_kind} {self.verb} {self.object_kind} {self.object_id}"
