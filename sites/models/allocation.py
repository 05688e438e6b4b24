"""Allocations: how much of a site a tenant may use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from controlplane.reach import AtSite
from controlplane.tenants.models import Tenant
from sites.models.site import Site

if TYPE_CHECKING:
    from datetime import datetime


class AllocationRows(AtSite["Allocation"]):
    """The queryset of allocations: what a caller may see, and when a worker looks at the jobs that wait for them."""

    def wake(self, *, now: datetime) -> None:
        """Let a worker look at the held jobs again from `now` on, because something changed that they may wait for."""
        self.update(next_start_at=now)

    def looked_at(self, freed_at: datetime) -> None:
        """Clear `next_start_at` after a worker looked at the held jobs, unless another `wake` has moved it since.

        freed_at: the `next_start_at` that the worker read before it looked.
        """
        self.filter(next_start_at=freed_at).update(next_start_at=None)


class Allocation(models.Model):
    """What a tenant may use at a site. sites/allocations.py writes it, except for columns that name another file.

    The limits hold for all queued, pending and running jobs together; a missing limit means unlimited. The counters
    from `used_pods` on change in the transaction that changes a job; `manage.py reconcile_allocations` recounts them.
    """

    class Period(models.TextChoices):
        MONTH = "month", "each calendar month"
        QUARTER = "quarter", "each calendar quarter"
        YEAR = "year", "each calendar year"
        WHOLE = "whole", "once, over its whole validity"

    tenant = models.ForeignKey(
        Tenant, on_delete=models.PROTECT, related_name="allocations", help_text="the tenant that may use it"
    )
    site = models.ForeignKey(
        Site, on_delete=models.PROTECT, related_name="allocations", help_text="the site where it may be used"
    )
    enabled = models.BooleanField(default=True, help_text="off: revoked; what runs may finish, nothing new starts")
    valid_from = models.DateTimeField(default=timezone.now, help_text="nothing starts before")
    valid_until = models.DateTimeField(null=True, blank=True, help_text="nothing starts after; empty is without end")

    pods = models.PositiveIntegerField(null=True, blank=True, help_text="the most pods at once; empty is unlimited")
    cpus = models.PositiveIntegerField(null=True, blank=True, help_text="the most CPUs at once; empty is unlimited")
    memory = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="the most bytes of memory at once; empty is unlimited"
    )
    gpus = models.JSONField(
        default=dict, blank=True, help_text='the most GPUs at once: kind -> number; "" is all kinds together'
    )
    cpu_hours = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="the budget of CPU hours for each period; empty is unlimited"
    )
    gpu_hours = models.PositiveBigIntegerField(
        null=True, blank=True, help_text="the budget of GPU hours for each period; empty is unlimited"
    )
    period = models.CharField(
        max_length=10, choices=Period.choices, default=Period.MONTH, help_text="how often the budget is renewed"
    )
    default_time_limit = models.PositiveIntegerField(default=3600, help_text="seconds, for pods without a deadline")

    priority = models.SmallIntegerField(default=0, help_text="jobs of a higher one are submitted first")
    local_account = models.CharField(
        max_length=64, blank=True, help_text="the account at the site that jobs run under; empty is the site's own"
    )
    partitions = ArrayField(
        models.CharField(max_length=100),
        default=list,
        blank=True,
        help_text="the partitions that may be used, the default one first; empty is any",
    )
    qos = models.CharField(max_length=64, blank=True, help_text="the scheduler's quality of service for its jobs")
    flavors = ArrayField(
        models.CharField(max_length=63), default=list, blank=True, help_text="flavors that may be used; empty is any"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False, help_text="when it was first granted")

    used_pods = models.PositiveIntegerField(
        default=0, editable=False, help_text="pods that count now. Written by jobs/accounting/counters.py."
    )
    used_cpus = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="their CPUs. Written by jobs/accounting/counters.py."
    )
    used_memory = models.PositiveBigIntegerField(
        default=0, editable=False, help_text="their bytes of memory. Written by jobs/accounting/counters.py."
    )
    used_gpus = models.JSONField(
        default=dict,
        editable=False,
        help_text='their GPUs: kind -> number, "" for all together. Written by jobs/accounting/counters.py.',
    )
    reserved_cpu_seconds = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="CPU seconds that they may still use, kept from the budget. Written by jobs/accounting/counters.py.",
    )
    reserved_gpu_seconds = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="GPU seconds that they may still use, kept from the budget. Written by jobs/accounting/counters.py.",
    )
    spent_cpu_seconds = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="CPU seconds used by jobs that ended in this period. Written by jobs/accounting/counters.py.",
    )
    spent_gpu_seconds = models.PositiveBigIntegerField(
        default=0,
        editable=False,
        help_text="GPU seconds used by jobs that ended in this period. Written by jobs/accounting/counters.py.",
    )
    period_began = models.DateTimeField(
        null=True,
        editable=False,
        help_text="when the period of spent_* began. Written by jobs/accounting/counters.py.",
    )
    next_start_at = models.DateTimeField(
        null=True,
        editable=False,
        help_text="when jobs that wait for it are looked at again. Written by sites/models/allocation.py.",
    )

    objects = AllocationRows.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "site"], name="one_allocation_of_a_tenant_at_a_site"),
            models.CheckConstraint(
                condition=Q(valid_until__isnull=True) | Q(valid_until__gt=F("valid_from")),
                name="an_allocation_ends_after_it_begins",
            ),
            models.CheckConstraint(condition=Q(default_time_limit__gt=0), name="the_default_time_limit_is_positive"),
        ]
        indexes = [
            models.Index(
                fields=["site", "next_start_at"],
                condition=Q(next_start_at__isnull=False),
                name="allocation_due_start",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.tenant} at {self.site}"
