"""Tenants' requests, and operators' decisions on them."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from controlplane.reach import Reached
from controlplane.tenants.models.people import Person
from controlplane.tenants.models.tenants import Tenant


class ApprovalRequestRows(Reached["ApprovalRequest"]):
    """Requests. A caller sees those of its tenants and of its sites."""

    site_slug = "site"


class ApprovalRequest(models.Model):
    """A tenant's request, which an operator decides. Written by sites/approvals.py."""

    class State(models.TextChoices):
        OPEN = "open", "waits for a decision"
        GRANTED = "granted", "granted as asked"
        CHANGED = "changed", "granted with changes"
        DECLINED = "declined", "declined"
        WITHDRAWN = "withdrawn", "withdrawn by the requester"

    tenant = models.ForeignKey(
        Tenant, on_delete=models.CASCADE, related_name="requests", help_text="the tenant that asks"
    )
    site = models.CharField(max_length=63, blank=True, help_text="the slug of the site whose operator decides")
    kind = models.CharField(max_length=30, help_text="what is asked for: one of the kinds of sites/approvals.py")
    subject = models.BigIntegerField(
        null=True, help_text="the id of the row that is to change, if there is one already"
    )
    payload = models.JSONField(default=dict, help_text="the details of what is asked for")
    justification = models.TextField(blank=True, help_text="why it is asked for, for the operator")
    asked_by = models.ForeignKey(
        Person, on_delete=models.SET_NULL, null=True, related_name="requests", help_text="none once they are removed"
    )
    asked_at = models.DateTimeField(default=timezone.now, help_text="when it was asked for")
    state = models.CharField(
        max_length=10, choices=State.choices, default=State.OPEN, help_text="whether and how it was decided"
    )
    decision = models.JSONField(null=True, help_text="the payload as it was granted, which may differ")
    reason = models.TextField(blank=True, help_text="why it was decided so, for those who asked")
    decided_by = models.ForeignKey(
        Person, on_delete=models.SET_NULL, null=True, related_name="decisions", help_text="none once they are removed"
    )
    decided_at = models.DateTimeField(null=True, help_text="when it was decided; none while it is open")

    objects = ApprovalRequestRows.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=Q(state="open", decided_at__isnull=True) | ~Q(state="open") & Q(decided_at__isnull=False),
                name="a_decision_has_a_time",
            ),
        ]
        indexes = [
            models.Index(fields=["site", "asked_at"], condition=Q(state="open"), name="request_open_at_site"),
            models.Index(fields=["tenant", "asked_at"], name="request_of_tenant"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} for {self.tenant}: {self.state}"
