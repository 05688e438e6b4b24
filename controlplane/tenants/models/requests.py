"""What tenants ask for, and how it was decided."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from controlplane.reach import Reached
from controlplane.tenants.models.people import Person
from controlplane.tenants.models.tenants import Tenant


class ApprovalRequestRows(Reached["ApprovalRequest"]):
    """Requests, and who may see them."""

    site_slug = "site"


class ApprovalRequest(models.Model):
    """Something that a tenant asks for and an operator decides.

    kind names what is asked for (`sites/approvals.py` knows the kinds), payload its details, subject the row that it is
    about, where there is one already; site: the slug of the site whose operator may decide. decision: the payload as it
    was granted, which may differ from what was asked for.
    """

    class State(models.TextChoices):
        OPEN = "open", "waits for a decision"
        GRANTED = "granted", "granted as asked"
        CHANGED = "changed", "granted with changes"
        DECLINED = "declined", "declined"
        WITHDRAWN = "withdrawn", "taken back by those who asked"

    tenant = models.ForeignKey(Tenant, on_delete=models.CASCADE, related_name="requests")
    site = models.CharField(max_length=63, blank=True)
    kind = models.CharField(max_length=30)
    subject = models.BigIntegerField(null=True)
    payload = models.JSONField(default=dict)
    justification = models.TextField(blank=True)
    asked_by = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True, related_name="requests")
    asked_at = models.DateTimeField(default=timezone.now)
    state = models.CharField(max_length=10, choices=State.choices, default=State.OPEN)
    decision = models.JSONField(null=True)
    reason = models.TextField(blank=True)
    decided_by = models.ForeignKey(Person, on_delete=models.SET_NULL, null=True, related_name="decisions")
    decided_at = models.DateTimeField(null=True)

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
